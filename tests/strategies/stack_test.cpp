// Stack files: all of the catalogue are read, and a wrong one is answered with its mistakes.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/stack.hpp"

#include "sim/config/catalogue.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

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
      R"(stack.toml:8:25: gradient_accumulation: expected one of in-gemm, separate-16-bit, separate-fp32; got 'fp32'
  gradient_accumulation = "fp32"
                          ^)");
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

TEST_CASE("a stack that does not exist is answered with the nearest", "[strategies]") {
  config::Sources sources;
  CHECK(error_of([&] { return load_stack(sources, "generik", source_catalogue().stacks); }) ==
        "no stack is called 'generik'; did you mean 'generic'?");
}

}  // namespace foretrain::testing
