package testredis

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// slots is how many a cluster has.
const slots = 16384

// Cluster returns a client of a real Redis Cluster of three nodes, which the
// test has to itself. Unlike the other servers its nodes listen on the loopback
// interface, since a cluster has no other way to talk.
func Cluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	var nodes []*redis.Client
	var addresses []string
	for range 3 {
		port := FreePort(t)
		server, err := launch("--cluster-enabled", "yes", "--port", strconv.Itoa(port), "--bind", "127.0.0.1",
			"--cluster-port", strconv.Itoa(FreePort(t)), "--databases", "1")
		switch {
		case err != nil:
			t.Fatalf("testredis: %v", err)
		case server == nil:
			missing(t)
		}
		t.Cleanup(func() { _ = server.lifeline.Close() })
		addresses = append(addresses, "127.0.0.1:"+strconv.Itoa(port))
		nodes = append(nodes, connect(t, &redis.Options{Network: "unix", Addr: server.socket}))
	}
	if err := form(t.Context(), nodes); err != nil {
		t.Fatalf("testredis: form a cluster: %v", err)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// FreePort is a port of the loopback interface that nobody listens on now, for a
// server that others have to reach by TCP.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testredis: %v", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
}

// form shares out the slots and waits until every node knows of all.
func form(ctx context.Context, nodes []*redis.Client) error {
	for i, node := range nodes {
		first, next := i*slots/len(nodes), (i+1)*slots/len(nodes)
		if err := node.ClusterAddSlotsRange(ctx, first, next-1).Err(); err != nil {
			return err
		}
		port, err := node.ConfigGet(ctx, "port").Result()
		if err != nil {
			return err
		}
		bus, err := node.ConfigGet(ctx, "cluster-port").Result()
		if err != nil {
			return err
		}
		// A node with a bus port of its own is met by naming that too.
		if err := nodes[0].Do(ctx, "CLUSTER", "MEET", "127.0.0.1", port["port"], bus["cluster-port"]).Err(); err != nil && i > 0 {
			return err
		}
	}
	return awaitSettled(ctx, nodes)
}

func awaitSettled(ctx context.Context, nodes []*redis.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ready := 0
		for _, node := range nodes {
			if info, err := node.ClusterInfo(ctx).Result(); err == nil && settled(info, len(nodes)) {
				ready++
			}
		}
		if ready == len(nodes) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d nodes are ready: %w", ready, len(nodes), ctx.Err())
		case <-tick.C:
		}
	}
}

// settled reports whether a node knows of all nodes and slots.
func settled(info string, nodes int) bool {
	return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(nodes))
}
