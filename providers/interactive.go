package providers

import "context"

type interactiveKey struct{}

// Interactive returns a context for questions that somebody waits for: where
// calls are scarce they go before those of batches, in the whole fleet.
func Interactive(ctx context.Context) context.Context {
	return context.WithValue(ctx, interactiveKey{}, true)
}

func isInteractive(ctx context.Context) bool {
	yes, _ := ctx.Value(interactiveKey{}).(bool)
	return yes
}
