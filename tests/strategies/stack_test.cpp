// Stack files: all of the catalogue are read, and a wrong one is answered with its mistakes.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/stack.hpp"

#include <algorithm>

#include "sim/config/catalogue.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"

namespace foretrain::testing {
namespace {

constexpr std::string_view kStackFile = R"(name = "mine"
source = "a test"
attention = "flash-2"
dropout = false
fused_activation = true
fused_dropout_add = true
fused_rotary = true
gradient_accumulation = "in-gemm"
overlap_gradients = true
overlap_tensor_parallel = false
scatter_gather = false
blocking_sends = false
gradient_bucket = "160 MB"
optimizer_bytes_per_parameter = 30
host_per_step = "20 ms"
host_per_layer = "0 s"
host_per_micro_batch = "0 s"
context = "3 GiB"
)";

Stack stack_from(const std::string& text) {
  config::Sources sources;
  const config::Value root = config::parse_toml(sources, "stack.toml", text);
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  Stack stack = read_stack(reader);
  diagnostics.throw_if_any();
  return stack;
}

/// All mistakes of the file with one change.
std::string stack_error(std::string_view from, std::string_view to) {
  return error_of([&] { return stack_from(spoilt(kStackFile, from, to)); });
}

}  // namespace

TEST_CASE("every stack of the catalogue is read and named as its file", "[strategies]") {
  const std::string folder = source_catalogue().stacks;
  for (const std::string& name : config::names_in(folder)) {
    config::Sources sources;
    const Stack stack = load_stack(sources, name, folder);
    CHECK(stack.name == name);
    CHECK_FALSE(stack.source.empty());
    CHECK(stack.bucket.value > Bytes(0));
    CHECK(stack.optimizer_bytes.value >= 1);
  }
}

TEST_CASE("gradients are as wide as the stack sums them", "[strategies]") {
  Stack stack;
  stack.accumulation = Accumulation::in_gemm;
  CHECK(stack.gradient_size() == 4_B);
  stack.accumulation = Accumulation::separate_fp32;
  CHECK(stack.gradient_size() == 4_B);
  stack.accumulation = Accumulation::separate_16_bit;
  CHECK(stack.gradient_size() == 2_B);
}

TEST_CASE("a stack file is read key by key", "[strategies]") {
  const Stack stack = stack_from(std::string(kStackFile));
  CHECK(stack.kernels.attention == AttentionKernel::flash2);
  CHECK(stack.accumulation == Accumulation::in_gemm);
  CHECK(stack.overlap_gradients);
  CHECK_FALSE(stack.blocking_sends);
  CHECK(stack.bucket.value == 160_MB);
  CHECK(stack.optimizer_bytes.value == 30);
  CHECK(stack.host_per_step.value == 20_ms);
  CHECK(stack.context.value == 3_GiB);
}

TEST_CASE("a stack names one of the attention kernels and ways to accumulate", "[strategies]") {
  CHECK(
      stack_error("flash-2", "flash-4") ==
      R"(stack.toml:3:13: attention: expected one of unfused, flash-1, flash-2, flash-3, flash-triton, flash-cudnn; got 'flash-4'; did you mean 'flash-1'?
  attention = "flash-4"
              ^)");
  CHECK(
      stack_error("in-gemm", "fp32") ==
      R"(stack.toml:8:25: gradient_accumulation: expected one of in-gemm, separate-16-bit, separate-fp32, sharded; got 'fp32'
  gradient_accumulation = "fp32"
                          ^)");
}

TEST_CASE("parameters are handed out in one way", "[strategies]") {
  CHECK(has(stack_error("dropout = false\n",
                        "dropout = false\noverlap_parameters = true\n"
                        "gathers_by_broadcasts = true\n"),
            "overlap_parameters gathers beside the next forward"));
  CHECK(has(mistakes_in(
                "model = \"gpt2\"\nplatform = \"dgx-a100-40gb\"\nnodes = 1\n"
                "stack = \"internevo-2023\"\n[training]\nsequence_length = 128\n"
                "global_batch = 8\n[parallel]\nzero = 1\n[sharding]\noverlap_parameters = true\n"),
            "the stack hands parameters out by broadcasts"));
}

TEST_CASE("a stack says everything: there are no defaults", "[strategies]") {
  CHECK(stack_error("dropout = false\n", "") ==
        "stack.toml: missing key 'dropout' (true or false)");
  CHECK(stack_error("host_per_step =", "host_per_stp =") ==
        R"(stack.toml: missing key 'host_per_step' (a time such as "5 us")
stack.toml:15:1: unknown key 'host_per_stp'; did you mean 'host_per_step'?
  host_per_stp = "20 ms"
  ^)");
}

TEST_CASE("times and sizes of a stack have units, and counts are within reason", "[strategies]") {
  CHECK(
      stack_error("\"20 ms\"", "20") ==
      R"(stack.toml:15:17: host_per_step: expected a time such as "5 us", got 20 (a number without a unit)
  host_per_step = 20
                  ^)");
  CHECK(
      stack_error("\"160 MB\"", "\"160 ms\"") ==
      R"(stack.toml:13:19: gradient_bucket: expected a size such as "80 GB", got "160 ms" (a time, not a size)
  gradient_bucket = "160 ms"
                    ^)");
  CHECK(
      stack_error("= 30", "= 0") ==
      R"(stack.toml:14:33: optimizer_bytes_per_parameter: expected a number from 1.0 to 1000.0, got 0.0
  optimizer_bytes_per_parameter = 0
                                  ^)");
}

TEST_CASE("what a stack leaves out has no effect", "[strategies]") {
  const Stack stack = stack_from(std::string(kStackFile));
  CHECK(stack.hidden_tensor_parallel.value == 0);
  CHECK(stack.exposed_gradients.value == 0);
  CHECK(stack.exposed_gathers.value == 0);
  CHECK(stack.allocator_slack.value == 0);
  CHECK(stack.host_per_kernel.value == 0_s);
  CHECK(stack.communicators.value == Bytes(0));
  CHECK_FALSE(stack.overlap_parameters);
  CHECK_FALSE(stack.overlap_context);
  CHECK_FALSE(stack.kernels.gathered_logits);
  CHECK(stack.eager.empty());
}

TEST_CASE("the optional keys of a stack are read, and listed as what a prediction leans on",
          "[strategies]") {
  const Stack stack = stack_from(std::string(kStackFile) + R"(overlap_parameters = true
overlap_context = true
gathered_logits = true
hidden_tensor_parallel = 0.5
exposed_gradients = 0.25
exposed_gathers = 0.125
host_per_kernel = "6 us"
optimizer_state_bytes_per_parameter = 8
communicators = "2 GiB"
allocator_slack = 0.1
eager_norm_forward_bytes = 30
eager_norm_backward_bytes = 40
eager_softmax_bytes = 10
extra_layer_bytes = 20
extra_layer_gradient_bytes = 21
)");
  CHECK(stack.overlap_parameters);
  CHECK(stack.overlap_context);
  CHECK(stack.kernels.gathered_logits);
  CHECK(stack.hidden_tensor_parallel.value == 0.5);
  CHECK(stack.exposed_gradients.value == 0.25);
  CHECK(stack.exposed_gathers.value == 0.125);
  CHECK(stack.host_per_kernel.value == 6_us);
  CHECK(stack.optimizer_state_bytes.value == 8);
  CHECK(stack.communicators.value == 2_GiB);
  CHECK(stack.allocator_slack.value == 0.1);
  CHECK(stack.kernels.eager_norm_forward_bytes == 30);
  CHECK(stack.kernels.eager_norm_backward_bytes == 40);
  CHECK(stack.kernels.eager_softmax_bytes == 10);
  CHECK(stack.kernels.extra_layer_bytes == 20);
  CHECK(stack.kernels.extra_layer_gradient_bytes == 21);
  const std::vector<Fact> listed = facts(stack);
  for (const char* name :
       {"hidden_tensor_parallel", "exposed_gradients", "exposed_gathers", "host_per_kernel",
        "optimizer_state_bytes_per_parameter", "communicators", "allocator_slack",
        "eager_norm_forward_bytes", "eager_norm_backward_bytes", "eager_softmax_bytes",
        "extra_layer_bytes", "extra_layer_gradient_bytes"}) {
    INFO(name);
    CHECK(std::any_of(listed.begin(), listed.end(),
                      [name](const Fact& fact) { return fact.name == name; }));
  }
}

TEST_CASE("shares of a stack are shares, and hiding is said once", "[strategies]") {
  const auto with = [](const std::string& more) {
    return error_of([&] { return stack_from(std::string(kStackFile) + more); });
  };
  CHECK(with("exposed_gathers = 1.5\n") ==
        R"(stack.toml:19:19: exposed_gathers: expected a number from 0.0 to 1.0, got 1.5
  exposed_gathers = 1.5
                    ^)");
  CHECK(
      error_of([&] {
        return stack_from(spoilt(kStackFile, "overlap_tensor_parallel = false",
                                 "overlap_tensor_parallel = true") +
                          "hidden_tensor_parallel = 0.5\n");
      }) ==
      R"(stack.toml:19:26: hidden_tensor_parallel: overlap_tensor_parallel hides whole collectives already; give one of them
  hidden_tensor_parallel = 0.5
                           ^)");
}

TEST_CASE("a stack that does not exist is answered with the nearest", "[strategies]") {
  config::Sources sources;
  CHECK(error_of([&] { return load_stack(sources, "generik", source_catalogue().stacks); }) ==
        "no stack is called 'generik'; did you mean 'generic'?");
}

}  // namespace foretrain::testing
