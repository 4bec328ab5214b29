package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
)

// Ports are taken from below the range that the kernel gives to outgoing connections:
// otherwise, while a component is stopped, a connection could take its port, or a probe of
// the closed port could connect to itself.
const (
	lowestPort   = 12000
	fallbackTop  = 32768
	portAttempts = 2000
)

// freePorts returns n different TCP ports on 127.0.0.1 that nobody listens on.
func freePorts(ctx context.Context, n int) (ports []int, err error) {
	top := ephemeralStart()
	if top <= lowestPort+n {
		return nil, fmt.Errorf("outgoing connections may use the ports from %d on, which leaves none to listen on: raise net.ipv4.ip_local_port_range", top)
	}
	var config net.ListenConfig
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
	}()
	var failure error
	for range portAttempts {
		port := lowestPort + rand.IntN(top-lowestPort)
		l, err := config.Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			failure = err
			continue
		}
		listeners = append(listeners, l)
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find %d free ports on 127.0.0.1: %w", n, failure)
}

// ephemeralStart is the first port that the kernel gives to outgoing connections.
func ephemeralStart() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if errors.Is(err, os.ErrNotExist) {
		return fallbackTop
	}
	var first, last int
	if _, err := fmt.Fscan(strings.NewReader(string(text)), &first, &last); err != nil {
		return fallbackTop
	}
	return first
}
