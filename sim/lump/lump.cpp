// Lumping, and why it is exact.
// SPDX-License-Identifier: Apache-2.0
//
// Let the classes be an equitable partition of the graph of program_graph.cpp: members of a class
// have the same colour and see, per label, equally many members of every class. Call a moment even
// when all members of a class are in the same state: ranks at the same op of every stream with the
// same events recorded, groups and channels with members of the same classes waiting in the same
// slots, flows with the same bytes left. Time zero is even, and evenness lasts:
//
// * Rates. Let all flows rise together from zero (progressive filling, which gives the max-min fair
//   rates: Bertsekas and Gallager, Data Networks, section 6.5.2). The members of a class of links
//   have the same capacity and carry, class by class, equally many flows, each as many times; so
//   they fill at the same moment. The members of a class of flows cross equally many links of each
//   class, as many times, and have the same rate limit; so they stop rising at the same moment.
//   Hence flows of one class have one rate.
// * Events. So the flows of a class end together, and with them the phases of all communications of
//   a class, since those have equally many flows of each class and the same latencies. Kernels and
//   delays of a class of ranks take the same time, since body and kind of device agree, and so do
//   the numbers of communications in flight that take a share of their compute rate, and of kernels
//   in flight that share the rest. A group
//   meets when the last of its members has come; groups of a class have members of the same classes
//   in the same slots. A message meets its receiver likewise. What happens to one member at the
//   next event therefore happens to all.
//
// So members of a class have the same timeline, and it is enough to follow one of each. In the
// quotient a group has one member for each class and slot of its members: it meets when the last
// class has come. A communication has one flow for each class of its flows. A link of class l
// carries c(f, l) flows of class f, counted with how often each names it, the same for all links of
// the class; so the one flow of class f names the one link of class l that many times, and the
// filling above gives the same rates. (c(f, .) and the capacity of l may be divided by a common
// factor.) The same argument reduces linear programs exactly: Grohe, Kersting, Mladenov, Selman,
// "Dimension Reduction via Colour Refinement", ESA 2014.
//
// A rank's copies to and from its host are a communication with one member.
//
// Two ranks of a class may send to each other; their representative then sends to itself. And a
// rank may have several peers of one class, such as both neighbours in a ring of equals: their
// messages get channel numbers of their own.
#include "sim/lump/lump.hpp"

#include "sim/core/error.hpp"
#include "sim/lump/differences.hpp"
#include "sim/lump/program_graph.hpp"
#include "sim/lump/quotient.hpp"

namespace foretrain {

Lumped lump(const Program& program, const CostModel& costs) {
  FORETRAIN_ASSERT(!costs.is_jittered(), "kernel jitter makes every rank its own");
  const ProgramGraph graph(program, costs);
  const Partition partition = refine(graph.graph());
  const Views seen = views(graph.graph(), partition);
  Lumped lumped = quotient(program, costs, graph, partition, seen);
  lumped.differences = differences(program, costs, graph, partition, seen);
  return lumped;
}

}  // namespace foretrain
