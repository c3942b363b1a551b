// SPDX-License-Identifier: Apache-2.0
#include "platforms/wiring/ring_search.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

using Order = std::vector<std::size_t>;  // places among the members; begins with 0
using Edges = std::vector<std::size_t>;

constexpr std::size_t kMostForSearch = 8;    // 7! orders
constexpr std::size_t kMostSteps = 400'000;  // of the search, some 10 ms
constexpr std::size_t kMostRings = 64;       // as NCCL has channels
constexpr double kNothing = 1e-6;            // of a link's rate: used up but for rounding

struct Ring {
  Order order;
  double rate = 0;
};

/// What the rings so far leave of each link.
class Residual {
 public:
  Residual(const Order& members, const LinkGraph& graph, const Routes& routes)
      : size_(members.size()), routes_(size_ * size_) {
    for (std::size_t a = 0; a < size_; ++a) {
      for (std::size_t b = 0; b < size_; ++b) {
        routes_[a * size_ + b] = routes.between(gpu_vertex(members[a]), gpu_vertex(members[b]));
      }
    }
    left_.reserve(graph.edges().size());
    for (const Edge& edge : graph.edges()) {
      left_.push_back(edge.rate.value);
      scale_ = std::max(scale_, edge.rate.value);
    }
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const Edges& route(std::size_t a, std::size_t b) const {
    return routes_[a * size_ + b];
  }
  [[nodiscard]] double nothing() const { return scale_ * kNothing; }
  [[nodiscard]] double left(std::size_t edge) const { return left_[edge]; }

  /// Takes a rate off the links from a to b; takes none when one of them has less left.
  bool take(std::size_t a, std::size_t b, double rate) {
    const Edges& edges = route(a, b);
    for (const std::size_t edge : edges) {
      if (left_[edge] < rate - nothing()) {
        return false;
      }
    }
    give(a, b, -rate);
    return true;
  }
  void give(std::size_t a, std::size_t b, double rate) {
    for (const std::size_t edge : route(a, b)) {
      left_[edge] += rate;
    }
  }

  /// The rate of a ring in this order; a link that it crosses twice gives it half.
  [[nodiscard]] double width(const Order& order) const {
    std::map<std::size_t, double> uses;
    for (std::size_t i = 0; i < order.size(); ++i) {
      for (const std::size_t edge : route(order[i], order[(i + 1) % order.size()])) {
        uses[edge] += 1;
      }
    }
    double width = std::numeric_limits<double>::infinity();
    for (const auto& [edge, times] : uses) {
      width = std::min(width, left_[edge] / times);
    }
    return width;
  }

  /// No set of rings is faster than what leaves, or reaches, some member.
  [[nodiscard]] double bound() const {
    double bound = std::numeric_limits<double>::infinity();
    for (std::size_t a = 0; a < size_; ++a) {
      std::map<std::size_t, double> out;
      std::map<std::size_t, double> in;
      for (std::size_t b = 0; b < size_; ++b) {
        if (a != b) {
          out[route(a, b).front()] = left_[route(a, b).front()];
          in[route(b, a).back()] = left_[route(b, a).back()];
        }
      }
      for (const auto& side : {out, in}) {
        double sum = 0;
        for (const auto& [edge, rate] : side) {
          sum += rate;
        }
        bound = std::min(bound, sum);
      }
    }
    return bound;
  }

 private:
  std::size_t size_;
  std::vector<Edges> routes_;
  std::vector<double> left_;
  double scale_ = 0;
};

double total(const std::vector<Ring>& rings) {
  double sum = 0;
  for (const Ring& ring : rings) {
    sum += ring.rate;
  }
  return sum;
}

/// The widest ring, over all orders.
class WidestRing {
 public:
  explicit WidestRing(const Residual& residual)
      : residual_(residual), used_(residual.size(), false) {
    Order order = {0};
    extend(order, std::numeric_limits<double>::infinity());
  }

  [[nodiscard]] double width() const { return best_; }
  [[nodiscard]] std::size_t steps() const { return steps_; }

 private:
  // The links' widths alone bound the rest from above, so that most orders are cut short.
  void extend(Order& order, double bound) {
    ++steps_;
    if (order.size() == residual_.size()) {
      best_ = std::max(best_, residual_.width(order));
      return;
    }
    for (std::size_t next = 1; next < residual_.size(); ++next) {
      double width = bound;
      for (const std::size_t edge : residual_.route(order.back(), next)) {
        width = std::min(width, residual_.left(edge));
      }
      if (!used_[next] && width > best_ + residual_.nothing()) {
        used_[next] = true;
        order.push_back(next);
        extend(order, width);
        order.pop_back();
        used_[next] = false;
      }
    }
  }

  const Residual& residual_;
  std::vector<bool> used_;
  double best_ = 0;
  std::size_t steps_ = 0;
};

/// Peels rings of one rate off, then of a lower one, and goes back where that ends too early. Rings
/// of one rate ascend, because their sequence does not matter.
class Peeling {
 public:
  /// The first rings have 1 / `parts` of the rate of the widest.
  Peeling(Residual residual, double parts)
      : residual_(std::move(residual)), bound_(residual_.bound()) {
    rate_ = WidestRing(residual_).width() / parts;
    used_.assign(residual_.size(), false);
    (void)peel({});
  }

  [[nodiscard]] const std::vector<Ring>& best() const { return best_; }
  [[nodiscard]] bool is_perfect() const { return total(best_) >= bound_ * (1 - kNothing); }

 private:
  // Each returns whether the search is over.
  bool peel(const Order& after) {
    if (total(rings_) > total(best_) + residual_.nothing()) {
      best_ = rings_;
    }
    if (is_perfect() || steps_ > kMostSteps) {
      return true;
    }
    const std::size_t closed_before = closed_;
    Order order = {0};
    if (extend(order, after)) {
      return true;
    }
    return closed_ == closed_before && peel_slower();
  }

  bool peel_slower() {
    const WidestRing widest(residual_);
    const double width = widest.width();
    steps_ += widest.steps();
    if (width <= residual_.nothing() || rings_.size() >= kMostRings) {
      return false;
    }
    const double before = std::exchange(rate_, std::min(rate_, width));
    const bool is_over = peel({});
    rate_ = before;
    return is_over;
  }

  bool extend(Order& order, const Order& after) {
    ++steps_;
    if (order.size() == residual_.size()) {
      return close(order, after);
    }
    const bool is_at_bound =
        !after.empty() && std::equal(order.begin(), order.end(), after.begin());
    for (std::size_t next = is_at_bound ? after[order.size()] : 1; next < residual_.size();
         ++next) {
      const std::size_t last = order.back();
      if (used_[next] || !residual_.take(last, next, rate_)) {
        continue;
      }
      used_[next] = true;
      order.push_back(next);
      const bool is_over = extend(order, after);
      order.pop_back();
      used_[next] = false;
      residual_.give(last, next, rate_);
      if (is_over || steps_ > kMostSteps) {
        return true;
      }
    }
    return false;
  }

  bool close(const Order& order, const Order& after) {
    if (order == after || !residual_.take(order.back(), 0, rate_)) {
      return false;
    }
    ++closed_;
    rings_.push_back({order, rate_});
    const std::vector<bool> used = std::exchange(used_, std::vector<bool>(used_.size(), false));
    const bool is_over = peel(order);
    used_ = used;
    rings_.pop_back();
    residual_.give(order.back(), 0, rate_);
    return is_over;
  }

  Residual residual_;
  double bound_;
  double rate_ = 0;
  std::vector<bool> used_;
  std::vector<Ring> rings_;
  std::vector<Ring> best_;
  std::size_t closed_ = 0;
  std::size_t steps_ = 0;
};

// Whole links first, as channels have them. Where these do not come out even, halves may: the six
// directed cycles of four GPUs that are all joined fill every link at half its rate, and four GH200
// do reach more than whole links would carry (clusters/alps-gh200.toml).
std::vector<Ring> search(const Residual& residual) {
  const Peeling whole(residual, 1);
  if (whole.is_perfect()) {
    return whole.best();
  }
  const Peeling halves(residual, 2);
  return halves.is_perfect() ? halves.best() : whole.best();
}

// From member to member over the widest link that is left.
Order widest_order(const Residual& residual) {
  Order order = {0};
  std::vector<bool> used(residual.size(), false);
  used[0] = true;
  while (order.size() < residual.size()) {
    std::size_t best = 0;
    double best_width = -std::numeric_limits<double>::infinity();
    for (std::size_t next = 1; next < residual.size(); ++next) {
      double width = std::numeric_limits<double>::infinity();
      for (const std::size_t edge : residual.route(order.back(), next)) {
        width = std::min(width, residual.left(edge));
      }
      if (!used[next] && width > best_width + residual.nothing()) {
        best = next;
        best_width = width;
      }
    }
    used[best] = true;
    order.push_back(best);
  }
  return order;
}

// Round all members by equal strides, which begins with the ascending order.
std::vector<Order> stride_orders(std::size_t size) {
  std::vector<Order> orders;
  for (std::size_t stride = 1; stride < size; ++stride) {
    if (std::gcd(stride, size) == 1) {
      Order order;
      order.reserve(size);
      for (std::size_t i = 0; i < size; ++i) {
        order.push_back(i * stride % size);
      }
      orders.push_back(std::move(order));
    }
  }
  return orders;
}

std::vector<Ring> peel_greedily(Residual residual) {
  std::vector<Order> orders = stride_orders(residual.size());
  orders.emplace_back();
  std::vector<Ring> rings;
  while (rings.size() < kMostRings) {
    Ring widest;
    orders.back() = widest_order(residual);
    for (const Order& order : orders) {
      const double width = residual.width(order);
      if (width > widest.rate + residual.nothing()) {
        widest = {order, width};
      }
    }
    if (widest.order.empty()) {
      break;
    }
    for (std::size_t i = 0; i < widest.order.size(); ++i) {
      residual.give(widest.order[i], widest.order[(i + 1) % widest.order.size()], -widest.rate);
    }
    rings.push_back(std::move(widest));
  }
  return rings;
}

// The same order found at two rates is one ring.
std::vector<Ring> merged(const std::vector<Ring>& rings) {
  std::vector<Ring> distinct;
  for (const Ring& ring : rings) {
    const auto same = std::find_if(distinct.begin(), distinct.end(),
                                   [&](const Ring& other) { return other.order == ring.order; });
    if (same == distinct.end()) {
      distinct.push_back(ring);
    } else {
      same->rate += ring.rate;
    }
  }
  return distinct;
}

}  // namespace

std::vector<RingOrder> search_rings(const std::vector<std::size_t>& members, const LinkGraph& graph,
                                    const Routes& routes) {
  FORETRAIN_ASSERT(!members.empty(), "rings over no GPUs");
  if (members.size() == 1) {
    return {{members, 1.0, BytesPerSecond(0)}};
  }
  const Residual residual(members, graph, routes);
  const std::vector<Ring> rings =
      merged(members.size() <= kMostForSearch ? search(residual) : peel_greedily(residual));
  FORETRAIN_ASSERT(!rings.empty(), "members that reach each other have a ring");
  std::vector<RingOrder> orders;
  orders.reserve(rings.size());
  for (const Ring& ring : rings) {
    RingOrder order{{}, ring.rate / total(rings), BytesPerSecond(ring.rate)};
    order.gpus.reserve(ring.order.size());
    for (const std::size_t place : ring.order) {
      order.gpus.push_back(members[place]);
    }
    orders.push_back(std::move(order));
  }
  return orders;
}

}  // namespace foretrain
