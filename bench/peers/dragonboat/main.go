// Measures dragonboat in the shape of `bench cluster`: three hosts, each a process, on loopback TCP; all leaders on the
// first one, and the clients in its process, each awaiting one write at a time, shard after shard. One write is one
// command is one log entry, counted when it was applied on the leader. A run has figures only if every shard's state
// machine was given exactly the writes that were counted, on all hosts. One line of JSON on stdout.
//
// Exit codes: 0 measured, 1 it failed or the counts do not add up, 2 the command line is wrong.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const hosts = 3

type options struct {
	Shards   int
	Payload  int
	Inflight int
	Seconds  float64
	Warmup   float64
	Store    string
	Engines  int
	// Of one host process: which, where, and with whom.
	Host      int
	Directory string
	Addresses string
}

func main() {
	var o options
	flag.IntVar(&o.Shards, "shards", 48, "Raft groups")
	flag.IntVar(&o.Payload, "payload", 128, "bytes of a write, at least 8")
	flag.IntVar(&o.Inflight, "inflight", 4096, "writes awaited at any time")
	flag.Float64Var(&o.Seconds, "seconds", 5, "measured time")
	flag.Float64Var(&o.Warmup, "warmup", 2, "seconds before it")
	flag.StringVar(&o.Store, "store", "tan", "its log: tan (one a shard) or pebble (one a host, its default)")
	flag.IntVar(&o.Engines, "engines", 16, "its workers of each stage, and parts of the pebble log; its default is 16")
	flag.StringVar(&o.Directory, "dir", os.TempDir(), "a folder of its own is made and removed in it")
	flag.IntVar(&o.Host, "host", 0, "run as this host; not for people")
	flag.StringVar(&o.Addresses, "addresses", "", "of all hosts; not for people")
	flag.Parse()
	if o.Shards < 1 || o.Payload < 8 || o.Inflight < 1 || o.Engines < 1 || o.Seconds <= 0 || o.Warmup < 0 ||
		(o.Store != "tan" && o.Store != "pebble") || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.Host > 0 {
		return runHost(o)
	}
	folder, err := os.MkdirTemp(o.Directory, "dragonboat-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	o.Directory = folder
	if o.Addresses, err = freeAddresses(); err != nil {
		return err
	}
	result, err := measure(o)
	if err != nil {
		return err
	}
	line, err := json.Marshal(result)
	if err == nil {
		fmt.Println(string(line))
	}
	return err
}

type result struct {
	Engine          string  `json:"engine"`
	Shards          int     `json:"shards"`
	Payload         int     `json:"payload"`
	Inflight        int     `json:"inflight"`
	Store           string  `json:"store"`
	WritesPerSecond float64 `json:"writesPerSecond"`
	P50Ms           float64 `json:"p50Ms"`
	P99Ms           float64 `json:"p99Ms"`
	Errors          int64   `json:"errors"`
	ReadySeconds    float64 `json:"readySeconds"`
}

func measure(o options) (result, error) {
	start := time.Now()
	var children []*child
	defer func() {
		for _, c := range children {
			c.stop()
		}
	}()
	for host := 1; host <= hosts; host++ {
		c, err := startChild(o, host)
		if err != nil {
			return result{}, err
		}
		children = append(children, c)
	}
	for _, c := range children {
		if err := c.answer(nil); err != nil {
			return result{}, err
		}
	}
	leader := children[0]
	if err := leader.ask("lead", nil); err != nil {
		return result{}, err
	}
	ready := time.Since(start)
	var load loadResult
	if err := leader.ask("load", &load); err != nil {
		return result{}, err
	}
	if err := check(children, load); err != nil {
		return result{}, err
	}
	return result{
		"dragonboat " + version, o.Shards, o.Payload, o.Inflight, o.Store,
		load.PerSecond, load.P50Ms, load.P99Ms, load.Errors, ready.Seconds(),
	}, nil
}

// Every host must come to hold exactly what was counted, and the same; followers have half a minute to catch up.
func check(children []*child, load loadResult) error {
	for host, c := range children {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			var states []state
			if err := c.ask("state", &states); err != nil {
				return err
			}
			wrong := -1
			for shard, s := range states {
				if s.Count != load.ByShard[shard] || s.Hash != load.States[shard].Hash {
					wrong = shard
				}
			}
			if wrong < 0 {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("shard %d of host %d has %d writes of %d, or others",
					wrong+1, host+1, states[wrong].Count, load.ByShard[wrong])
			}
		}
	}
	return nil
}

// A host's process, told what to do in lines and answering in lines of JSON.
type child struct {
	cmd *exec.Cmd
	in  interface{ Write([]byte) (int, error) }
	out *bufio.Reader
	end func() error
}

func startChild(o options, host int) (*child, error) {
	words := []string{
		fmt.Sprintf("--host=%d", host), "--addresses=" + o.Addresses,
		"--dir=" + filepath.Join(o.Directory, fmt.Sprintf("host-%d", host)),
		fmt.Sprintf("--shards=%d", o.Shards), fmt.Sprintf("--payload=%d", o.Payload),
		fmt.Sprintf("--inflight=%d", o.Inflight), fmt.Sprintf("--seconds=%g", o.Seconds),
		fmt.Sprintf("--warmup=%g", o.Warmup), fmt.Sprintf("--engines=%d", o.Engines), "--store=" + o.Store,
	}
	cmd := exec.Command(os.Args[0], words...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &child{cmd, in, bufio.NewReader(out), in.Close}, cmd.Start()
}

func (c *child) ask(what string, into any) error {
	if _, err := c.in.Write([]byte(what + "\n")); err != nil {
		return err
	}
	return c.answer(into)
}

func (c *child) answer(into any) error {
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("a host ended: %w", err)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(line, into)
}

// Its standard input ends, it has ten seconds to end, too.
func (c *child) stop() {
	_ = c.end()
	timer := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	_ = c.cmd.Wait()
	timer.Stop()
}

// Loopback addresses whose ports were free a moment ago.
func freeAddresses() (string, error) {
	var addresses []string
	for range hosts {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return strings.Join(addresses, ","), nil
}
