package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/kubevalue/kubevalue/collectors/kube/kubetest/controlplane"
)

// Lines that `kubetest up` writes to its standard output, one JSON object each. Event says
// which it is: ready, started, stopped, error or died.
type (
	readyLine struct {
		Event string `json:"event"`
		controlplane.Info
	}
	startedLine struct {
		Event     string `json:"event"`
		Component string `json:"component"`
		PID       int    `json:"pid"`
		controlplane.Started
	}
	stoppedLine struct {
		Event     string `json:"event"`
		Component string `json:"component"`
		controlplane.Stopped
	}
	errorLine struct {
		Event string `json:"event"`
		Error string `json:"error"`
	}
	diedLine struct {
		Event     string `json:"event"`
		Component string `json:"component"`
		LogTail   string `json:"log_tail"`
	}
)

// control serves the commands on in, one a line, each answered by one line on out, until
// in ends, ctx does, or a component dies.
func control(ctx context.Context, plane *controlplane.Plane, in io.Reader, out io.Writer) error {
	encoder := json.NewEncoder(out)
	if err := encoder.Encode(readyLine{"ready", plane.Info()}); err != nil {
		return fmt.Errorf("report that all is ready: %w", err)
	}
	for lines := readLines(ctx, in); ; {
		select {
		case line, more := <-lines:
			if !more {
				return nil
			}
			if err := encoder.Encode(answer(ctx, plane, line)); err != nil {
				return fmt.Errorf("answer %q: %w", line, err)
			}
		case component := <-plane.Died():
			tail := plane.LogTail(component)
			if err := encoder.Encode(diedLine{"died", component, tail}); err != nil {
				return fmt.Errorf("report that %s died: %w", component, err)
			}
			return fmt.Errorf("%s died; the end of its log:\n%s", component, tail)
		case <-ctx.Done():
			return nil
		}
	}
}

// answer does what line asks for.
func answer(ctx context.Context, plane *controlplane.Plane, line string) any {
	verb, component, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch verb {
	case "start":
		started, err := plane.Start(ctx, component)
		if err != nil {
			return errorLine{"error", err.Error()}
		}
		return startedLine{"started", component, plane.Info().PIDs[component], started}
	case "stop", "kill":
		end := plane.Stop
		if verb == "kill" {
			end = plane.Kill
		}
		stopped, err := end(component)
		if err != nil {
			return errorLine{"error", err.Error()}
		}
		return stoppedLine{"stopped", component, stopped}
	default:
		return errorLine{"error", fmt.Sprintf("%q is no command: use start, stop or kill and one of %s", line, strings.Join(controlplane.Components(), ", "))}
	}
}

// readLines sends the lines of in until it ends or ctx does.
func readLines(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}
