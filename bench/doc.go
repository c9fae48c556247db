// Command bench measures Magpie against plain ways of doing the same work, on
// real servers: a Redis without persistence and a PostgreSQL that syncs every
// commit, started in temporary folders, with Magpie's processes beside them.
//
// It promises that the two sides of a ratio are measured in turn on the same
// servers, that a figure is the median of its rounds, that every round checks
// its own work (all rows answered, all credits charged), and that no process is
// left behind, however it ends. It does not compare machines: rates depend on
// the machine, ratios far less. docs/benchmarks.md says what each figure means.
package main
