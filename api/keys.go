package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/store"
)

// keyBody is an API key. Secret is set once, when it is made.
type keyBody struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Secret    string     `doc:"The key itself, in the answer that makes it and never again." json:"key,omitempty"`
	Hint      string     `doc:"Its last four characters."                                    json:"hint"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at"`
}

func keyOut(k store.Key) (keyBody, error) {
	return keyBody{ID: k.ID, Name: k.Name, Hint: k.Hint, CreatedAt: k.CreatedAt.UTC(), RevokedAt: optional(k.RevokedAt.UTC())}, nil
}

type createKeyInput struct {
	ID      string `doc:"Of the organization." path:"id"`
	Payload payload[nameRequest]
}

type keyInput struct {
	ID  string `doc:"Of the organization."               path:"id"`
	Key string `doc:"Id of the key, not the key itself." path:"key"`
}

const keysPath = orgsPath + "/{id}/keys"

func (a *api) registerKeys() {
	op := operation(http.MethodPost, keysPath, "create-key", "Create an API key", adminScheme)
	op.Description = "The answer is the only one that shows the key. Repeated under the same Idempotency-Key it is a conflict, since the key is not kept: revoke it and make another."
	op.DefaultStatus = http.StatusCreated
	register(a, repeatable(op), a.createKey)
	a.describeBody(keysPath, map[string]*huma.Schema{"application/json": strictSchemaOf[nameRequest](a)})
	register(a, operation(http.MethodGet, keysPath, "list-keys", "List an organization's API keys", adminScheme),
		func(ctx context.Context, in *orgInput) (*output[page[keyBody]], error) {
			if _, err := a.DB.GetOrg(ctx, in.ID); err != nil {
				return nil, err
			}
			keys, err := a.DB.Keys(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return pageOf(keys, len(keys), keyOut, nil)
		})
	register(a, operation(http.MethodDelete, keysPath+"/{key}", "revoke-key", "Revoke an API key for good", adminScheme),
		func(ctx context.Context, in *keyInput) (*struct{}, error) {
			return nil, a.DB.RevokeKey(ctx, in.ID, in.Key, a.Now())
		})
}

func (a *api) createKey(ctx context.Context, in *createKeyInput) (*created[keyBody], error) {
	if err := in.Payload.value.check(); err != nil {
		return nil, err
	}
	out, err := once[keyBody]{
		prefix: "key", hash: in.Payload.hash,
		do: func(ctx context.Context, _ string) (int, keyBody, error) {
			secret := store.NewSecret("mgp_")
			key, err := a.DB.CreateKey(ctx, in.ID, in.Payload.value.Name, secret, a.Now())
			if err != nil {
				return 0, keyBody{}, err
			}
			body, err := keyOut(key)
			body.Secret = secret
			return http.StatusCreated, body, err
		},
		redact: func(b keyBody) keyBody { b.Secret = ""; return b },
	}.run(ctx, a)
	if err != nil {
		return nil, err
	}
	if out.Replayed != "" {
		return nil, newProblem(http.StatusConflict, codeConflict,
			"the key "+out.Body.ID+" was made and shown once; if it was not received, revoke it and make another").with("Idempotency-Replayed", "true")
	}
	return out, nil
}
