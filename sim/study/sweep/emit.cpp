// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/emit.hpp"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

namespace foretrain::sweep {
namespace {

// As one word of a shell.
std::string shell_word(const std::string& text) {
  constexpr std::string_view kHarmless =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
  if (!text.empty() && text.find_first_not_of(kHarmless) == std::string::npos) {
    return text;
  }
  std::string word = "'";
  for (const char c : text) {
    word += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return word + "'";
}

std::string shell_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : " ") + shell_word(word);
  }
  return text;
}

}  // namespace

std::string shard_journal(const std::string& journal, const std::string& number,
                          std::uint64_t num_shards) {
  const std::filesystem::path path = journal;
  const std::string name = fmt::format("{}-{}-of-{}{}", path.stem().string(), number, num_shards,
                                       path.extension().string());
  return (path.parent_path() / name).string();
}

std::string slurm_script(const Distribution& distribution) {
  const std::uint64_t n = distribution.num_shards;
  // The shell puts the number in, between two words in single quotes.
  std::string journal = shell_word(shard_journal(distribution.journal, "\n", n));
  journal.replace(journal.find('\n'), 1, "'\"$SLURM_ARRAY_TASK_ID\"'");
  std::vector<std::string> parts;
  for (std::uint64_t i = 1; i <= n; ++i) {
    parts.push_back(shard_journal(distribution.journal, std::to_string(i), n));
  }
  return fmt::format(
      R"(#!/usr/bin/env bash
# {points} points in {n} shards. `bash THIS_FILE` submits it as a job array, and the merge of the shards'
# journals to run after that; `sbatch THIS_FILE` submits the array alone. Submitted again, it goes on
# with what the journals lack. Options of your site, such as --partition, belong below or on the line.
#SBATCH --job-name=foretrain-sweep
#SBATCH --array=1-{n}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={jobs}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@60
#SBATCH --output=foretrain-sweep-%a.log
set -euo pipefail
export FORETRAIN=${{FORETRAIN:-foretrain}} # must be found on the nodes
if [[ -z ${{SLURM_ARRAY_TASK_ID:-}} ]]; then
  array=$(sbatch --parsable "$@" "$0")
  sbatch --dependency="afterany:${{array%%;*}}" --job-name=foretrain-merge --array=0 --ntasks=1 \
    --cpus-per-task=1 "$@" "$0"
elif ((SLURM_ARRAY_TASK_ID == 0)); then
  exec "$FORETRAIN" sweep merge {merged} {parts}
else
  exec "$FORETRAIN" {command} \
    --journal {journal} --shard "$SLURM_ARRAY_TASK_ID/{n}" --jobs {jobs} --quiet
fi
)",
      fmt::arg("points", distribution.num_points), fmt::arg("n", n),
      fmt::arg("jobs", distribution.jobs), fmt::arg("merged", shell_word(distribution.journal)),
      fmt::arg("parts", shell_words(parts)),
      fmt::arg("command", shell_words(distribution.arguments)), fmt::arg("journal", journal));
}

std::string parallel_line(const Distribution& distribution) {
  const std::uint64_t n = distribution.num_shards;
  std::vector<std::string> parts;
  for (std::uint64_t i = 1; i <= n; ++i) {
    parts.push_back(shard_journal(distribution.journal, std::to_string(i), n));
  }
  return fmt::format(
      "parallel --quote foretrain {} --journal {} --shard {{}}/{} --jobs {} --quiet ::: $(seq {}); "
      "foretrain sweep merge {} {}\n",
      shell_words(distribution.arguments), shell_word(shard_journal(distribution.journal, "{}", n)),
      n, distribution.jobs, n, shell_word(distribution.journal), shell_words(parts));
}

}  // namespace foretrain::sweep
