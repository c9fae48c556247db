// Package tasks runs Magpie's work on Asynq: it hands the chunks of batches to
// workers, a window at a time, and brings work back that a crash or a lost
// message would strand.
//
// It promises that every open chunk of a running batch is handed out again and
// again until it is closed, whatever dies in between, and that an organization
// has no more chunks of a service outstanding than its window allows, however
// many batches it splits them into. Tasks carry references only, never rows.
//
// Batches that are paused for credits or at a cap are resumed when there is
// something for them: longest-waiting first, a few at a time, and no more of them
// than the credits are for.
//
// The truth about a batch is in SQL, in the chunks' rounds. Windows and queues
// can be lost at any time: the sweeper on every worker restores them. A task
// may be delivered twice; its round makes the second delivery harmless.
//
// What a round does is package enrich's business, credits are books'.
package tasks
