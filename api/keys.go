package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// keyBody is an API key. Secret is set once, when it is made.
type keyBody struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Secret     string          `doc:"The key itself, in the answer that makes it and never again."             json:"key,omitempty"`
	Hint       string          `doc:"Its last four characters."                                                json:"hint"`
	MonthlyCap *lookup.Credits `doc:"At most so much is charged to it in a calendar month, UTC; null: no cap." json:"monthly_cap"`
	CreatedAt  time.Time       `json:"created_at"`
	RevokedAt  *time.Time      `json:"revoked_at"`
}

func keyOut(k store.Key) (keyBody, error) {
	return keyBody{ID: k.ID, Name: k.Name, Hint: k.Hint, MonthlyCap: optional(k.MonthlyCap), CreatedAt: k.CreatedAt.UTC(), RevokedAt: optional(k.RevokedAt.UTC())}, nil
}

// keyRequest makes a key.
type keyRequest struct {
	Name       string   `doc:"1 to 200 characters."                                                          json:"name"                 maxLength:"200" minLength:"1"`
	MonthlyCap spendCap `doc:"At most so much is charged to the key in a calendar month, UTC; null: no cap." json:"monthly_cap,omitzero"`
}

// keyChange is what of a key can be changed.
type keyChange struct {
	MonthlyCap spendCap `doc:"At most so much is charged to the key in a calendar month, UTC; null: no cap." json:"monthly_cap"`
}

type createKeyInput struct {
	ID      string `doc:"Of the organization." path:"id"`
	Payload payload[keyRequest]
}

type changeKeyInput struct {
	ID      string `doc:"Of the organization."               path:"id"`
	Key     string `doc:"Id of the key, not the key itself." path:"key"`
	Payload payload[keyChange]
}

type keyInput struct {
	ID  string `doc:"Of the organization."               path:"id"`
	Key string `doc:"Id of the key, not the key itself." path:"key"`
}

const (
	keysPath = orgsPath + "/{id}/keys"
	keyPath  = keysPath + "/{key}"
)

func (a *api) registerKeys() {
	op := operation(http.MethodPost, keysPath, "create-key", "Create an API key", adminScheme)
	op.Description = "The answer is the only one that shows the key. Repeated under the same Idempotency-Key it is a conflict, since the key is not kept: revoke it and make another."
	op.DefaultStatus = http.StatusCreated
	register(a, repeatable(op), a.createKey)
	a.describeBody(keysPath, map[string]*huma.Schema{"application/json": strictSchemaOf[keyRequest](a)})
	op = operation(http.MethodPatch, keyPath, "change-key", "Set an API key's monthly cap", adminScheme)
	op.Description = "It holds for lookups at once and for batches from their next chunk on. Batches that wait for room under it go on by themselves."
	register(a, op, a.changeKey)
	a.huma.OpenAPI().Paths[keyPath].Patch.RequestBody = jsonBody(strictSchemaOf[keyChange](a))
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
	register(a, operation(http.MethodDelete, keyPath, "revoke-key", "Revoke an API key for good", adminScheme),
		func(ctx context.Context, in *keyInput) (*struct{}, error) {
			return nil, a.DB.RevokeKey(ctx, in.ID, in.Key, a.Now())
		})
}

func (a *api) createKey(ctx context.Context, in *createKeyInput) (*created[keyBody], error) {
	want := in.Payload.value
	if err := (nameRequest{want.Name}).check(); err != nil {
		return nil, err
	}
	out, err := once[keyBody]{
		prefix: "key", hash: in.Payload.hash,
		do: func(ctx context.Context, _ string) (int, keyBody, error) {
			secret := store.NewSecret("mgp_")
			key, err := a.DB.CreateKey(ctx, in.ID, want.Name, secret, want.MonthlyCap.credits, a.Now())
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

func (a *api) changeKey(ctx context.Context, in *changeKeyInput) (*output[keyBody], error) {
	key, err := a.DB.SetKeyCap(ctx, in.ID, in.Key, in.Payload.value.MonthlyCap.credits)
	if err != nil {
		return nil, err
	}
	a.Dispatcher.Wake(context.WithoutCancel(ctx), in.ID)
	body, err := keyOut(key)
	return &output[keyBody]{Body: body}, err
}
