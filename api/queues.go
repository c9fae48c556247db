package api

import "net/http"

const queuesPath = "/ops/queues"

// mountQueues shows the queue monitor to administrators. Browsers ask for a
// password; it is the administrator's key.
func (a *api) mountQueues(mux *http.ServeMux) {
	if a.Queues == nil {
		return
	}
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); !ok || !a.isAdmin(password) {
			code := codeInvalidKey
			if !ok {
				code = codeMissingAuth
			}
			writeProblem(w, r, unauthorized(code, "want HTTP Basic with the administrator's key as password").
				with("WWW-Authenticate", `Basic realm="Magpie operators", charset="UTF-8"`))
			return
		}
		a.Queues.ServeHTTP(w, r)
	})
	mux.Handle(queuesPath, guarded)
	mux.Handle(queuesPath+"/", guarded)
}
