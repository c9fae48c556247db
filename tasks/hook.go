package tasks

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// lateScripts lets a script go out although its context was cancelled.
//
// Asynq (v0.25.0 to v0.26.0) repeats a failed Done, Retry or Archive with a
// context that it has cancelled already, so the repeat can never succeed: one
// dropped connection leaves a finished task active until the recoverer runs it
// again. All of those are scripts, and a script whose context is cancelled
// before it is sent comes from nowhere else.
type lateScripts struct{}

// lateTime bounds a script that goes out late.
const lateTime = 3 * time.Second

// WithLateScripts adds the hook to a client that Asynq servers will use.
func WithLateScripts(rdb redis.UniversalClient) redis.UniversalClient {
	rdb.AddHook(lateScripts{})
	return rdb
}

func (lateScripts) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (lateScripts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); (name == "evalsha" || name == "eval") && errors.Is(ctx.Err(), context.Canceled) {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lateTime)
			defer cancel()
		}
		return next(ctx, cmd)
	}
}

func (lateScripts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
