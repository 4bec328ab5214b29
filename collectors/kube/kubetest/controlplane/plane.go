// Package controlplane runs a Kubernetes control plane on 127.0.0.1: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, and kwok, which plays the nodes.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startPatience bounds the start of one component, on a machine that is busy: an etcd that waits for a disk that others write to holds the apiserver up for minutes.
	startPatience = 5 * time.Minute
	// stopPatience is how long a component may take to end before it is killed.
	stopPatience = 20 * time.Second
	// watchEvery is how exactly the times of Stopped and Started are known.
	watchEvery = 10 * time.Millisecond
)

// Plane is a running control plane. Its methods may be used from one goroutine at a time.
type Plane struct {
	layout    *layout
	users     []user
	api       *api
	spawner   *spawner
	processes map[string]*process
	died      chan string
}

// Start brings a control plane up and returns when it can take work. When it fails, or
// ctx ends meanwhile, nothing is left running.
func Start(ctx context.Context, c Config) (*Plane, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	l, users, err := newLayout(ctx, c)
	if err != nil {
		return nil, err
	}
	a, err := newAPI(l.pki, l.url(APIServer))
	if err != nil {
		return nil, err
	}
	p := &Plane{
		layout: l, users: users, api: a, spawner: newSpawner(),
		processes: map[string]*process{}, died: make(chan string, len(Components())),
	}
	for _, name := range Components() {
		p.processes[name] = &process{
			name: name, path: l.path(name), args: l.args(name),
			logPath: l.file("logs/" + name + ".log"), died: p.died,
		}
	}
	if err := p.startAll(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// startAll starts etcd, then the apiserver, then the rest side by side.
func (p *Plane) startAll(ctx context.Context) error {
	for _, name := range []string{Etcd, APIServer} {
		if _, err := p.Start(ctx, name); err != nil {
			return err
		}
	}
	rest := []string{ControllerManager, Scheduler, Kwok}
	errs := make([]error, len(rest))
	var group sync.WaitGroup
	for i, name := range rest {
		group.Go(func() { _, errs[i] = p.Start(ctx, name) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	began := p.now()
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := p.api.prepare(ctx, p.layout.config.Nodes); err != nil {
		return fmt.Errorf("prepare the cluster: %w", err)
	}
	p.progress("%d nodes ready after %s", p.layout.config.Nodes, p.now().Sub(began).Round(time.Millisecond))
	return nil
}

// Started tells when a component was launched, and when it first answered that it is
// ready (10 ms exact).
type Started struct {
	StartedAt time.Time `json:"started_at"`
	ReadyAt   time.Time `json:"ready_at"`
}

// Start launches a component that is not running and waits until it is ready.
func (p *Plane) Start(ctx context.Context, component string) (Started, error) {
	proc, err := p.process(component)
	if err != nil {
		return Started{}, err
	}
	s := Started{StartedAt: p.now()}
	if err := proc.start(p.spawner); err != nil {
		return Started{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("not ready after %s", startPatience))
	defer cancel()
	err = waitFor(ctx, watchEvery, func(ctx context.Context) error {
		if proc.pid() == 0 {
			cancel()
			return errors.New("it has ended")
		}
		return p.api.probe(ctx, p.layout.health(component))
	})
	if err != nil {
		return Started{}, fmt.Errorf("start %s: %w; the end of %s:\n%s", component, err, proc.logPath, proc.logTail())
	}
	s.ReadyAt = p.now()
	p.progress("%s ready after %s", component, s.ReadyAt.Sub(s.StartedAt).Round(time.Millisecond))
	return s, nil
}

// Stopped tells when a component was sent its signal, when it first failed to answer that
// it is ready (10 ms exact), and when its process was gone.
type Stopped struct {
	SignalledAt time.Time `json:"signalled_at"`
	UnreadyAt   time.Time `json:"unready_at"`
	ExitedAt    time.Time `json:"exited_at"`
}

// Stop ends a running component by SIGTERM, as an orderly shutdown does, and returns when
// it is gone. What takes more than 20 s is killed.
func (p *Plane) Stop(component string) (Stopped, error) { return p.end(component, syscall.SIGTERM) }

// Kill ends a running component by SIGKILL, as a crash does, and returns when it is gone.
func (p *Plane) Kill(component string) (Stopped, error) { return p.end(component, syscall.SIGKILL) }

func (p *Plane) end(component string, sig syscall.Signal) (Stopped, error) {
	proc, err := p.process(component)
	if err != nil {
		return Stopped{}, err
	}
	s := Stopped{SignalledAt: p.now()}
	exited, err := proc.signal(sig)
	if err != nil {
		return Stopped{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-exited:
			s.ExitedAt = p.now()
			if s.UnreadyAt.IsZero() {
				s.UnreadyAt = s.ExitedAt
			}
			p.progress("%s stopped after %s", component, s.ExitedAt.Sub(s.SignalledAt).Round(time.Millisecond))
			return s, nil
		case <-ctx.Done():
			if err := proc.stop(0); err != nil {
				return Stopped{}, err
			}
		case <-tick.C:
			if s.UnreadyAt.IsZero() && p.api.probe(ctx, p.layout.health(component)) != nil {
				s.UnreadyAt = p.now()
			}
		}
	}
}

// Died gets the name of each component that ended although nobody stopped it.
func (p *Plane) Died() <-chan string { return p.died }

// LogTail is the end of a component's log.
func (p *Plane) LogTail(component string) string { return p.processes[component].logTail() }

// Close stops all components, the last started first.
func (p *Plane) Close() error {
	defer p.spawner.close()
	var errs []error
	for _, name := range slices.Backward(Components()) {
		errs = append(errs, p.processes[name].stop(stopPatience))
	}
	return errors.Join(errs...)
}

func (p *Plane) process(component string) (*process, error) {
	proc, ok := p.processes[component]
	if !ok {
		return nil, fmt.Errorf("no component is called %q: there are %s", component, strings.Join(Components(), ", "))
	}
	return proc, nil
}

func (p *Plane) now() time.Time { return p.layout.config.Now().UTC() }

func (p *Plane) progress(format string, args ...any) {
	fmt.Fprintf(p.layout.config.Progress, "kubetest: "+format+"\n", args...)
}
