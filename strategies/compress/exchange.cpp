// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/exchange.hpp"

#include <utility>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

// Legend: n members, g of them on each node, k nodes; N elements.

CodecWork taking(Seconds time) {
  CodecWork work;
  work.fixed = time;
  return work;
}

/// Writes the steps of one exchange.
class Writer {
 public:
  explicit Writer(const WireCompression& how) : how_(how), codec_(*how.method->codec) {}

  void gather(const Message& whole, GroupPart part, double members) {
    const Message own = whole.part(members);
    work(encode_work(how_, own));
    coded(CollectiveKind::all_gather, part, members * wire(own));
    work(decode_work(how_, whole));
  }

  void all_to_all(const Message& message, GroupPart part, double members) {
    work(encode_work(how_, message));
    coded(CollectiveKind::all_to_all, part, members * wire(message.part(members)));
    work(decode_work(how_, message));
  }

  /// All-reduce, or reduce-scatter when each wants its part only.
  void sum(CollectiveKind kind, const Message& message, GroupPart part, double members) {
    switch (how_.method->summing) {
      case Summing::in_code:
        sum_in_code(kind, message, part, members);
        break;
      case Summing::by_owners:
        sum_by_owners(kind, message, part, members);
        break;
      case Summing::by_all:
        sum_by_all(kind, message, part, members);
        break;
    }
  }

  // ZeRO++'s qgZ: each GPU adds its node's pieces of what its place in the node owns, codes the sum
  // again, and adds what the GPUs in its place on the other nodes have (Wang et al. 2023). Handing
  // the sums back, for an all-reduce, goes the other way.
  void sum_in_two_hops(CollectiveKind kind, const Message& message, double per_node, double nodes) {
    const Message of_place = message.part(per_node);
    const Message own = of_place.part(nodes);
    work(encode_work(how_, message));
    coded(CollectiveKind::all_to_all, GroupPart::inside, per_node * wire(of_place));
    CodecWork again = sum_work(how_, of_place, per_node);
    again += encode_work(how_, of_place);
    work(again);
    coded(CollectiveKind::all_to_all, GroupPart::across, nodes * wire(own));
    CodecWork last = sum_work(how_, own, nodes);
    if (kind == CollectiveKind::reduce_scatter) {
      work(last);
      return;
    }
    last += encode_work(how_, own);
    work(last);
    coded(CollectiveKind::all_gather, GroupPart::across, nodes * wire(own));
    coded(CollectiveKind::all_gather, GroupPart::inside, per_node * nodes * wire(own));
    work(decode_work(how_, message));
  }

  void plain(CollectiveKind kind, GroupPart part, Bytes payload) {
    steps_.emplace_back(PartCollective{kind, part, payload, false});
  }

  CodedExchange take() { return std::move(steps_); }

 private:
  [[nodiscard]] Bytes wire(const Message& message) const {
    return codec_.wire(how_.options, message);
  }
  void work(const CodecWork& work) {
    if (!work.is_nothing()) {
      steps_.emplace_back(work);
    }
  }
  void coded(CollectiveKind kind, GroupPart part, Bytes payload) {
    steps_.emplace_back(PartCollective{kind, part, payload, true});
  }

  // Codes that come in rounds depend on the sums of the round before, which all ranks need: such a
  // sum is an all-reduce even where each wants its part only.
  void sum_in_code(CollectiveKind kind, const Message& message, GroupPart part, double members) {
    const bool is_scatter = kind == CollectiveKind::reduce_scatter;
    const Message wanted = is_scatter ? message.part(members) : message;
    for (const SumRound& round : sum_rounds(how_, message)) {
      const bool is_whole = round.wire == wire(message);
      work(round.before);
      coded(is_whole ? kind : CollectiveKind::all_reduce, part, round.wire);
    }
    work(decode_work(how_, wanted));
  }

  void sum_by_owners(CollectiveKind kind, const Message& message, GroupPart part, double members) {
    const Message own = message.part(members);
    work(encode_work(how_, message));
    coded(CollectiveKind::all_to_all, part, members * wire(own));
    CodecWork middle = sum_work(how_, own, members);
    if (kind == CollectiveKind::reduce_scatter) {
      work(middle);
      return;
    }
    middle += encode_work(how_, own);
    work(middle);
    coded(CollectiveKind::all_gather, part, members * wire(own));
    work(decode_work(how_, message));
  }

  // Entries that a rank owns can be sent to it alone.
  void sum_by_all(CollectiveKind kind, const Message& message, GroupPart part, double members) {
    work(encode_work(how_, message));
    if (kind == CollectiveKind::reduce_scatter) {
      const Message own = message.part(members);
      coded(CollectiveKind::all_to_all, part, members * wire(own));
      work(sum_work(how_, own, members));
      return;
    }
    coded(CollectiveKind::all_gather, part, members * wire(message));
    work(sum_work(how_, message, members));
  }

  const WireCompression& how_;
  const Codec& codec_;
  CodedExchange steps_;
};

bool is_sum(CollectiveKind kind) {
  return kind == CollectiveKind::all_reduce || kind == CollectiveKind::reduce_scatter;
}

// In a node as it was, between the nodes coded: each GPU sends what its place in the node owns.
CodedExchange coded_between_nodes(CollectiveKind kind, const WireCompression& how,
                                  const Message& message, double per_node, double nodes) {
  Writer writer(how);
  const Message of_place = message.part(per_node);
  if (kind == CollectiveKind::all_gather) {
    writer.gather(of_place, GroupPart::across, nodes);
    writer.plain(kind, GroupPart::inside, message.bytes());
  } else if (kind == CollectiveKind::all_to_all) {
    writer.plain(kind, GroupPart::inside, message.bytes());
    writer.all_to_all(message, GroupPart::across, nodes);
  } else {
    writer.plain(CollectiveKind::reduce_scatter, GroupPart::inside, message.bytes());
    writer.sum(kind, of_place, GroupPart::across, nodes);
    if (kind == CollectiveKind::all_reduce) {
      writer.plain(CollectiveKind::all_gather, GroupPart::inside, message.bytes());
    }
  }
  return writer.take();
}

}  // namespace

CodecWork encode_work(const WireCompression& how, const Message& message) {
  return how.rates ? taking(message.bytes() / how.rates->encode)
                   : how.method->codec->encode(how.options, message);
}

CodecWork decode_work(const WireCompression& how, const Message& message) {
  return how.rates ? taking(message.bytes() / how.rates->decode)
                   : how.method->codec->decode(how.options, message);
}

CodecWork sum_work(const WireCompression& how, const Message& message, double codes) {
  return how.rates ? taking(codes * message.bytes() / how.rates->decode)
                   : how.method->codec->sum(how.options, message, codes);
}

std::vector<SumRound> sum_rounds(const WireCompression& how, const Message& message) {
  const Codec& codec = *how.method->codec;
  if (codec.rounds == nullptr) {
    return {{encode_work(how, message), codec.wire(how.options, message)}};
  }
  std::vector<SumRound> rounds = codec.rounds(how.options, message);
  if (how.rates) {
    const double share = 1 / static_cast<double>(rounds.size());
    for (SumRound& round : rounds) {
      round.before = taking(message.bytes() / how.rates->encode * share);
    }
  }
  return rounds;
}

bool is_coded(const WireCompression& how, const GroupShape& group) {
  return group.members > 1 && (group.spans_nodes() || !how.between_nodes_only);
}

bool uses_levels(CollectiveKind kind, const WireCompression& how, const GroupShape& group) {
  return group.has_levels() &&
         (how.between_nodes_only || (how.method->has_two_hops && is_sum(kind)));
}

CodedExchange exchange(CollectiveKind kind, const WireCompression& how, const Message& message,
                       const GroupShape& group) {
  const auto members = static_cast<double>(group.members);
  FORETRAIN_ASSERT(is_coded(how, group), "nothing of this collective is coded");
  if (uses_levels(kind, how, group)) {
    const auto per_node = static_cast<double>(group.per_node);
    if (how.between_nodes_only) {
      return coded_between_nodes(kind, how, message, per_node, members / per_node);
    }
    Writer writer(how);
    writer.sum_in_two_hops(kind, message, per_node, members / per_node);
    return writer.take();
  }
  Writer writer(how);
  if (is_sum(kind)) {
    writer.sum(kind, message, GroupPart::all, members);
  } else if (kind == CollectiveKind::all_gather) {
    writer.gather(message, GroupPart::all, members);
  } else {
    FORETRAIN_ASSERT(kind == CollectiveKind::all_to_all, "a collective that is never compressed");
    writer.all_to_all(message, GroupPart::all, members);
  }
  return writer.take();
}

}  // namespace foretrain
