package tasks

import "time"

// Steady is for how long no beat of this worker was late.
func (r *Runner) Steady() time.Duration {
	r.pulse.mu.Lock()
	defer r.pulse.mu.Unlock()
	return r.pulse.last.Sub(r.pulse.steady)
}
