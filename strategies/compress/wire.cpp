// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/wire.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "strategies/compress/check.hpp"
#include "strategies/compress/node_groups.hpp"

namespace foretrain {
namespace {

// GPUs multiply numbers of 4 bytes in tf32 where all of them can, else in fp32, else in the type
// that the run trains in.
Dtype multiplied_as(const Run& run, Bytes width) {
  const auto all_support = [&run](Dtype dtype) {
    const std::vector<const Cluster*> kinds = run.cluster.kinds();
    return std::all_of(kinds.begin(), kinds.end(),
                       [dtype](const Cluster* kind) { return supports(kind->gpu, dtype); });
  };
  for (const Dtype dtype : {Dtype::tf32, Dtype::fp32}) {
    if (width >= Bytes(4) && all_support(dtype)) {
      return dtype;
    }
  }
  return run.training.precision == Dtype::fp16 ? Dtype::fp16 : Dtype::bf16;
}

// The mean weight matrix of the layers, hidden x columns: a factor of each has as many numbers in
// all as the factors of the matrices themselves, because every one of them has a side of hidden.
void set_matrix(const Run& run, Message& form) {
  const StageShape shape = stage_shape(run, 0);
  double count = 0;
  double weights = 0;
  for (const LayerShape& kind : shape.kinds) {
    for (const Step& step : kind.work.forward) {
      const auto* gemm = std::get_if<Gemm>(&step.what);
      if (gemm != nullptr && (gemm->batch == 1 || gemm->is_grouped)) {
        count += static_cast<double>(gemm->batch);
        weights += static_cast<double>(gemm->batch) * static_cast<double>(gemm->n) *
                   static_cast<double>(gemm->k);
      }
    }
  }
  form.rows = run.model.hidden;
  form.columns = std::max<std::int64_t>(
      1, std::llround(weights / std::max(1.0, count) / static_cast<double>(form.rows)));
}

}  // namespace

CompressedWire::CompressedWire(const Run& run, BodyWriter& writer, WirePlace place)
    : run_(run), writer_(writer), place_(place), how_(run.compression.at(place)) {
  form_.each = wire_width(run, place);
  form_.dtype = multiplied_as(run, form_.each);
  if (how_ != nullptr) {
    set_matrix(run, form_);
  }
}

Message CompressedWire::message_of(Bytes payload) const {
  Message message = form_;
  message.elements = payload / form_.each;
  return message;
}

const GroupShape& CompressedWire::shape(std::uint32_t slot) {
  const auto [found, is_new] = shapes_.try_emplace(slot);
  if (is_new) {
    found->second = group_shape(run_, slot);
  }
  return found->second;
}

StreamIndex CompressedWire::beside(StreamIndex stream, std::string_view purpose) {
  const auto [found, is_new] = beside_.try_emplace({stream, purpose}, 0);
  if (is_new) {
    found->second = writer_.add_stream(std::string(name_of(place_)) + " " + std::string(purpose));
  }
  return found->second;
}

// Kernels are an op of their own in a phase of their own, on whatever stream.
void CompressedWire::work(StreamIndex stream, const CodecWork& work) {
  const Tag before = writer_.current_tag();
  writer_.tag({Phase::compression, before.micro_batch, before.chunk});
  if (work.fixed > Seconds(0)) {
    writer_.op(stream, "codec's fixed cost", Delay{work.fixed});
  }
  if (!work.kernels.empty()) {
    std::vector<Kernel> kernels;
    kernels.reserve(work.kernels.size());
    for (const CodecKernel& kernel : work.kernels) {
      const NameId name = writer_.builder().name(kernel.name);
      std::visit([&](const auto& shape) { kernels.push_back(Kernel{name, shape}); }, kernel.shape);
    }
    writer_.kernels(stream, work.kernels.front().name, std::move(kernels));
  }
  writer_.tag(before);
}

void CompressedWire::part(StreamIndex stream, std::string_view name, const PartCollective& part,
                          std::uint32_t slot) {
  writer_.op(stream, name, Collective{part.kind, slot_of(part.part, slot), part.payload});
}

void CompressedWire::follow(StreamIndex stream, StreamIndex before) {
  if (stream != before) {
    writer_.wait(stream, writer_.record(before));
  }
}

void CompressedWire::write_step(Chunk& chunk, std::size_t step, StreamIndex stream,
                                std::string_view name, std::uint32_t slot) {
  if (chunk.done && chunk.at != stream) {
    writer_.wait(stream, *chunk.done);
  }
  if (const auto* codec = std::get_if<CodecWork>(&chunk.steps[step])) {
    work(stream, *codec);
  } else {
    part(stream, name, std::get<PartCollective>(chunk.steps[step]), slot);
  }
  chunk.at = stream;
  chunk.done.reset();
}

void CompressedWire::collective(StreamIndex origin, StreamIndex stream, std::string_view name,
                                const Collective& what) {
  if (how_ == nullptr || !is_coded(*how_, shape(what.communicator))) {
    writer_.op(stream, name, what);
    return;
  }
  const bool is_chunked = how_->chunks > 1;
  const StreamIndex wire = is_chunked ? beside(stream, "wire") : stream;
  const StreamIndex codec = is_chunked ? beside(stream, "codec") : stream;
  const Message message = message_of(what.payload).part(static_cast<double>(how_->chunks));
  std::vector<Chunk> chunks(
      static_cast<std::size_t>(how_->chunks),
      Chunk{exchange(what.kind, *how_, message, shape(what.communicator)), std::nullopt, stream});
  if (is_chunked) {  // the first step of each chunk may be on any of them
    follow(wire, stream);
    follow(codec, stream);
  }
  for (std::size_t step = 0; step < chunks.front().steps.size(); ++step) {
    const bool is_work = std::holds_alternative<CodecWork>(chunks.front().steps[step]);
    const StreamIndex at = !is_work ? wire : (step == 0 ? origin : codec);
    const bool is_last = step + 1 == chunks.front().steps.size();
    for (Chunk& chunk : chunks) {
      write_step(chunk, step, at, name, what.communicator);
      const StreamIndex next =
          is_last ? stream
                  : (std::holds_alternative<CodecWork>(chunk.steps[step + 1]) ? codec : wire);
      if (next != at) {
        chunk.done = writer_.record(at);
      }
    }
  }
  if (chunks.back().done) {
    writer_.wait(stream, *chunks.back().done);
  }
}

void CompressedWire::send(StreamIndex stream, std::string_view name, const Send& what) {
  if (how_ == nullptr) {
    writer_.op(stream, name, what);
    return;
  }
  const Message message = message_of(what.payload).part(static_cast<double>(how_->chunks));
  const Codec& codec = *how_->method->codec;
  for (std::int64_t chunk = 0; chunk < how_->chunks; ++chunk) {
    const CodecWork encode = encode_work(*how_, message);
    if (!encode.is_nothing()) {
      work(kCompute, encode);
      follow(stream, kCompute);
    }
    writer_.op(stream, name, Send{what.peer, what.channel, codec.wire(how_->options, message)});
  }
}

void CompressedWire::receive(StreamIndex stream, std::string_view name, const Recv& what) {
  if (how_ == nullptr) {
    writer_.op(stream, name, what);
    return;
  }
  const Message message = message_of(what.payload).part(static_cast<double>(how_->chunks));
  const Codec& codec = *how_->method->codec;
  const CodecWork decode = decode_work(*how_, message);
  const bool is_beside = how_->chunks > 1 && !decode.is_nothing();
  const StreamIndex decoder = is_beside ? beside(stream, "codec") : stream;
  for (std::int64_t chunk = 0; chunk < how_->chunks; ++chunk) {
    writer_.op(stream, name, Recv{what.peer, what.channel, codec.wire(how_->options, message)});
    if (!decode.is_nothing()) {
      follow(decoder, stream);
      work(decoder, decode);
    }
  }
  follow(stream, decoder);
}

void CompressedWire::hold_state(std::int64_t parameters) {
  if (how_ == nullptr || how_->method->codec->state == nullptr) {
    return;
  }
  Message message = form_;
  message.elements = static_cast<double>(parameters);
  const Bytes kept =
      how_->method->codec->state(how_->options, message, static_cast<double>(run_.holders()));
  writer_.resident(MemoryClass::buffers, Bytes(std::ceil(kept.value)));
}

}  // namespace foretrain
