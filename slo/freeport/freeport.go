// Package freeport finds ports on loopback for the servers that tests start. It imports nothing of ours, so that tests of any package may use it.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// taken are the ports that Get has given away.
var taken sync.Map

// Get finds a port on 127.0.0.1 for a server to listen on, a moment later. It lies below those that the system gives to outgoing connections,
// one of which would else take it meanwhile, and no other test of this program gets it. The test fails where there is none.
func Get(t testing.TB) int {
	t.Helper()
	const lowest, above = 12000, 32768
	for range 2000 {
		port := lowest + rand.IntN(above-lowest) //nolint:gosec // not for secrets
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatalf("give a port back: %v", err)
		}
		if _, given := taken.LoadOrStore(port, true); !given {
			return port
		}
	}
	t.Fatalf("no port from %d to %d is free: end what listens there", lowest, above-1)
	return 0
}
