// A plan as text that fits a screen, as JSON and as CSV.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/study/amounts.hpp"
#include "sim/study/plan/mixed.hpp"
#include "sim/study/plan/plan.hpp"

namespace foretrain {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string gpu_names(const Cluster& cluster) {
  std::string names;
  for (const Cluster* kind : cluster.kinds()) {
    names += (names.empty() ? "" : " and ") + kind->gpu.name;
  }
  return names;
}

std::string smallest_text(const PlanPoint& point, const Cluster& cluster) {
  const double memory = cluster.least_memory().value * 1e-9;
  return fmt::format("fewest GPUs  {} hold one instance: {}, {:.1f} of {:.1f} GB\n", point.gpus,
                     point.layout, point.memory_use * memory, memory);
}

std::string money_or_dash(const std::optional<double>& dollars) {
  return dollars ? show_money(*dollars) : "-";
}

std::string number_or_dash(const std::optional<double>& number) {
  if (!number) {
    return "-";
  }
  return *number < 10 ? fmt::format("{:.1f}", *number) : fmt::format("{:.0f}", *number);
}

std::string mark_of(const Plan& plan, std::size_t index) {
  std::string mark;
  const auto add = [&](const std::optional<std::size_t>& at, const char* word) {
    if (at == index) {
      mark += (mark.empty() ? "  <- " : ", ") + std::string(word);
    }
  };
  add(plan.choice, "buy");
  add(plan.knee, "knee");
  add(plan.cheapest, "cheapest");
  add(plan.fastest, "fastest");
  return mark;
}

std::string days(Seconds time) {
  const double number = time.value / 86400;
  return number < 10    ? fmt::format("{:.2f}", number)
         : number < 100 ? fmt::format("{:.1f}", number)
                        : fmt::format("{:.0f}", number);
}

// "3.45 M"
std::string short_count(double number) {
  return number >= 1e6   ? fmt::format("{:.3g} M", number * 1e-6)
         : number >= 1e3 ? fmt::format("{:.3g} k", number * 1e-3)
                         : fmt::format("{:.3g}", number);
}

std::string table(const Plan& plan) {
  std::string text = fmt::format(
      "{:>6} {:>6} {:>11} {:>5} {:>5} {:>7} {:>8} {:>6} {:>6}  {:<27} {}\n", "GPUs", "days",
      "interval", "MFU %", "eff.%", "GPU-h", "money", "MWh", "t CO2", "layout", "limited by");
  for (std::size_t i = 0; i < plan.rows.size(); ++i) {
    const PlanRow& row = plan.rows[i];
    const std::string interval =
        row.low == row.high ? "-" : fmt::format("{}-{}", days(row.low), days(row.high));
    text += fmt::format(
        "{:>6} {:>6} {:>11} {:>5.1f} {:>5.0f} {:>7} {:>8} {:>6} {:>6}  {:<27} {} {:.0f} %{}\n",
        row.point.gpus, days(row.time), interval, 100 * row.point.utilization, 100 * row.efficiency,
        short_count(row.bill.gpu_hours), money_or_dash(row.bill.dollars),
        number_or_dash(row.bill.megawatt_hours), number_or_dash(row.bill.tonnes), row.point.layout,
        row.point.limit, 100 * row.point.limit_share, mark_of(plan, i));
  }
  return text;
}

std::string size_text(const Run& run, const PlanRow& row) {
  const std::int64_t per_node = run.cluster.gpus_per_node;
  return row.point.gpus % per_node == 0
             ? fmt::format("{} GPUs ({} nodes)", row.point.gpus, row.point.gpus / per_node)
             : fmt::format("{} GPUs", row.point.gpus);
}

std::string verdict(const Plan& plan, const Run& run) {
  if (!plan.choice) {
    return fmt::format("to buy       nothing: {}\n", plan.why);
  }
  const PlanRow& row = plan.rows[*plan.choice];
  std::string text = fmt::format("to buy       {} of {}: {}", size_text(run, row),
                                 gpu_names(run.cluster), show_period(row.time));
  if (row.low < row.high) {
    text += fmt::format(" ({} to {})", show_period(row.low), show_period(row.high));
  }
  if (row.bill.dollars) {
    text += fmt::format(", {}", show_money(*row.bill.dollars));
  }
  text += fmt::format("; {}\n", plan.why);
  return text;
}

std::string failures_text(const WithFailures& with) {
  return fmt::format(
      "failures     at the rates of {}, {:.1f} % of the time counts: {}{} (foretrain goodput)\n",
      with.rates, 100 * with.effective, show_period(with.time),
      with.dollars ? ", " + show_money(*with.dollars) : "");
}

OrderedJson json_of(const PlanPoint& point) {
  return {{"gpus", point.gpus},
          {"layout", point.layout},
          {"set", point.sets},
          {"step_time_s", point.step_time.value},
          {"step_time_low_s", point.low.value},
          {"step_time_high_s", point.high.value},
          {"mfu", point.utilization},
          {"memory_use", point.memory_use},
          {"idle_share", point.idle_share},
          {"limit", point.limit},
          {"limit_share", point.limit_share}};
}

template <class T>
OrderedJson or_null(const std::optional<T>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson json_of(const PlanRow& row) {
  OrderedJson json = json_of(row.point);
  json["time_s"] = row.time.value;
  json["time_low_s"] = row.low.value;
  json["time_high_s"] = row.high.value;
  json["gpu_hours"] = row.bill.gpu_hours;
  json["dollars"] = or_null(row.bill.dollars);
  json["megawatt_hours"] = or_null(row.bill.megawatt_hours);
  json["tonnes_co2e"] = or_null(row.bill.tonnes);
  json["efficiency"] = row.efficiency;
  json["is_knee"] = row.is_knee;
  return json;
}

}  // namespace

std::string plan_text(const Plan& plan, const Run& run, const PlanOptions& options) {
  const double size = static_cast<double>(parameters(run.model));
  std::string text = fmt::format(
      "{}, {:.3g} G parameters, {} tokens, on {}\n"
      "{} tokens a sequence, {} sequences a step, {}, {}, stack {}\n\n",
      run.model.name, size * 1e-9, show_tokens(options.tokens), run.cluster.name,
      run.training.sequence_length, run.training.global_batch, name_of(run.training.precision),
      run.training.optimizer, run.stack.name);
  text += fmt::format("tokens       {}\n", options.tokens_note);
  text += fmt::format("compute      6 P D = {:.3g} FLOPs; {:.3g} with attention and logits\n",
                      plan.six_pd, plan.exact_flops);
  if (plan.smallest) {
    text += smallest_text(*plan.smallest, run.cluster);
  }
  if (!plan.rows.empty()) {
    text += "\n" + table(plan) + "\n";
  }
  text += verdict(plan, run);
  if (plan.with_failures) {
    text += failures_text(*plan.with_failures);
  }
  if (plan.knee) {
    text += fmt::format(
        "stops paying at {} GPUs: below {:.0f} % of the best rate per GPU, {} {:.0f} %\n",
        plan.rows[*plan.knee].point.gpus, 100 * options.threshold,
        plan.rows[*plan.knee].point.limit, 100 * plan.rows[*plan.knee].point.limit_share);
  }
  text += "energy       " + power_text(options.economics) + "\n";
  for (const std::string& note : options.economics.notes) {
    text += "note: " + note + "\n";
  }
  return text;
}

std::string plan_json(const Plan& plan, const Run& run, const PlanOptions& options,
                      const std::vector<NodeChoice>& nodes) {
  OrderedJson json = {{"model", run.model.name},
                      {"platform", run.cluster.name},
                      {"stack", run.stack.name},
                      {"parameters", parameters(run.model)},
                      {"tokens", options.tokens},
                      {"tokens_note", options.tokens_note},
                      {"six_pd_flops", plan.six_pd},
                      {"exact_flops", plan.exact_flops},
                      {"threshold", options.threshold},
                      {"price_per_gpu_hour", or_null(options.economics.price)},
                      {"smallest", plan.smallest ? json_of(*plan.smallest) : OrderedJson(nullptr)},
                      {"sizes", OrderedJson::array()}};
  for (const PlanRow& row : plan.rows) {
    json["sizes"].push_back(json_of(row));
  }
  for (const NodeChoice& choice : nodes) {
    OrderedJson out = {{"nodes", choice.nodes}, {"uses", choice.words}};
    if (choice.best) {
      out.update(json_of(*choice.best));
      out["tokens_per_s"] = choice.tokens_per_second;
    }
    json["node_choices"].push_back(out);
  }
  json["choice"] = or_null(plan.choice);
  json["cheapest"] = or_null(plan.cheapest);
  json["fastest"] = or_null(plan.fastest);
  json["knee"] = or_null(plan.knee);
  json["why"] = plan.why;
  json["with_failures"] = nullptr;
  if (const auto& with = plan.with_failures) {
    json["with_failures"] = {{"rates", with->rates},
                             {"effective", with->effective},
                             {"time_s", with->time.value},
                             {"dollars", or_null(with->dollars)}};
  }
  json["notes"] = options.economics.notes;
  return json.dump(2) + "\n";
}

std::string plan_csv(const Plan& plan) {
  std::string text =
      "gpus,layout,step_time_s,time_s,time_low_s,time_high_s,mfu,efficiency,gpu_hours,dollars,"
      "megawatt_hours,tonnes_co2e,limit,limit_share,chosen\n";
  const auto cell = [](const std::optional<double>& number) {
    return number ? fmt::format("{}", *number) : std::string();
  };
  for (std::size_t i = 0; i < plan.rows.size(); ++i) {
    const PlanRow& row = plan.rows[i];
    text +=
        fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", row.point.gpus,
                    row.point.layout, row.point.step_time.value, row.time.value, row.low.value,
                    row.high.value, row.point.utilization, row.efficiency, row.bill.gpu_hours,
                    cell(row.bill.dollars), cell(row.bill.megawatt_hours), cell(row.bill.tonnes),
                    row.point.limit, row.point.limit_share, plan.choice == i ? 1 : 0);
  }
  return text;
}

}  // namespace foretrain
