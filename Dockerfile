# syntax=docker/dockerfile:1

# One image for the whole fleet: the api, the worker and the command line. Which
# one a container is, its command says:
#
#   docker build -t magpie .
#   docker run --rm magpie /usr/local/bin/worker --help

FROM golang:1.26-bookworm AS build
ENV CGO_ENABLED=0 GOCACHE=/cache GOFLAGS=-buildvcs=false
WORKDIR /src
COPY . .
# Everything the image holds is laid out in /image. The api writes uploads to
# /tmp while it reads them; the rest of the file system may be read-only.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/cache \
    mkdir -p /image/usr/local/bin /image/etc/ssl/certs && \
    mkdir -m 1777 /image/tmp && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && \
    go build -trimpath -ldflags='-s -w' -o /image/usr/local/bin/ ./cmd/...

FROM scratch
COPY --from=build /image/ /
# Health checks inside a container have to be asked by something that is in it.
COPY --from=busybox:1.37-musl /bin/wget /usr/local/bin/wget
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080 9090
CMD ["/usr/local/bin/magpie", "help"]
