// SPDX-License-Identifier: Apache-2.0
#include "strategies/body_writer.hpp"

namespace foretrain {

BodyWriter::BodyWriter(ProgramBuilder& builder, std::string name)
    : builder_(builder), label_(builder.name("step")) {
  body_.name = std::move(name);
  add_stream("compute");
}

StreamIndex BodyWriter::add_stream(std::string_view name) {
  body_.streams.push_back({std::string(name), {}});
  return body_.streams.size() - 1;
}

void BodyWriter::tag(Tag tag) {
  end_run();
  tag_ = tag;
}

void BodyWriter::label(std::string_view label) {
  end_run();
  label_ = builder_.name(label);
}

void BodyWriter::kernel(std::string_view name, const Gemm& shape) {
  pending_.push_back({builder_.name(name), shape});
}

void BodyWriter::kernel(std::string_view name, const MemoryBound& shape) {
  pending_.push_back({builder_.name(name), shape});
}

void BodyWriter::op(StreamIndex stream, std::string_view name, const Action& action) {
  if (stream == kCompute) {
    end_run();
  }
  add(stream, {action, builder_.name(name), tag_.phase, tag_.micro_batch, tag_.chunk});
}

void BodyWriter::kernels(StreamIndex stream, std::string_view name, std::vector<Kernel> list) {
  const Seconds launches = static_cast<double>(list.size()) * per_kernel_;
  op(stream, name, Kernels{builder_.kernel_list(std::move(list)), launches});
}

void BodyWriter::put(StreamIndex stream, const Op& op) {
  if (stream == kCompute) {
    end_run();
  }
  add(stream, op);
}

void BodyWriter::add(StreamIndex stream, const Op& op) {
  if (captured_ != nullptr) {
    captured_->push_back({stream, op});
  } else {
    body_.streams[stream].ops.push_back(op);
  }
}

EventId BodyWriter::record(StreamIndex stream) {
  const EventId event(body_.num_events);
  ++body_.num_events;
  op(stream, "record", Record{event});
  return event;
}

void BodyWriter::wait(StreamIndex stream, EventId event) { op(stream, "wait", Wait{event}); }

void BodyWriter::resident(MemoryClass memory, Bytes bytes) {
  body_.resident.push_back({memory, bytes});
}

Body BodyWriter::take() {
  end_run();
  return std::move(body_);
}

void BodyWriter::end_run() {
  if (pending_.empty()) {
    return;
  }
  const Seconds launches = static_cast<double>(pending_.size()) * per_kernel_;
  const KernelListId list = builder_.kernel_list(std::exchange(pending_, {}));
  add(kCompute, {Kernels{list, launches}, label_, tag_.phase, tag_.micro_batch, tag_.chunk});
}

}  // namespace foretrain
