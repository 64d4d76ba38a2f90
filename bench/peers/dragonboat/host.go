// One host's process: it starts a replica of every shard, and where it is told to, it leads them all and runs the load.

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	dragonboat "github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/plugin/tan"
	sm "github.com/lni/dragonboat/v4/statemachine"
)

// The last part of what go.mod pins.
const version = "v4.0.0-20250723143628"

const (
	tick          = 100 * time.Millisecond
	writeTimeout  = 20 * time.Second
	readyDeadline = 5 * time.Minute
	// One write in so many is timed, as in `bench cluster`.
	sampleEvery = 16
)

type loadResult struct {
	PerSecond float64
	P50Ms     float64
	P99Ms     float64
	Errors    int64
	ByShard   []uint64
	States    []state
}

func runHost(o options) error {
	for _, name := range []string{"raft", "rsm", "transport", "dragonboat", "logdb", "tan", "grpc", "config", "raftpb", "utils", "registry", "settings", "pebblekv", "order"} {
		logger.GetLogger(name).SetLevel(logger.ERROR)
	}
	host, err := open(o)
	if err != nil {
		return err
	}
	defer host.Close()
	answer := json.NewEncoder(os.Stdout)
	if err := answer.Encode("open"); err != nil {
		return err
	}
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		var reply any
		switch commands.Text() {
		case "lead":
			reply, err = "leads", lead(host, o.Shards)
		case "load":
			reply, err = load(host, o)
		case "state":
			reply, err = states(host, o.Shards)
		default:
			err = fmt.Errorf("no such command: %s", commands.Text())
		}
		if err == nil {
			err = answer.Encode(reply)
		}
		if err != nil {
			return err
		}
	}
	return commands.Err()
}

// Time-outs as in `bench cluster`: heartbeats of 500 ms, elections of 5 s, but on the first host they are shorter, so that
// it becomes the leader of all.
func open(o options) (*dragonboat.NodeHost, error) {
	addresses := strings.Split(o.Addresses, ",")
	members := make(map[uint64]dragonboat.Target)
	for at, address := range addresses {
		members[uint64(at+1)] = address
	}
	hostConfig := config.NodeHostConfig{
		NodeHostDir:    o.Directory,
		RTTMillisecond: uint64(tick / time.Millisecond),
		RaftAddress:    addresses[o.Host-1],
		Expert:         config.GetDefaultExpertConfig(),
	}
	engines := uint64(o.Engines)
	hostConfig.Expert.Engine.ExecShards = engines
	hostConfig.Expert.Engine.CommitShards = engines
	hostConfig.Expert.Engine.ApplyShards = engines
	hostConfig.Expert.LogDB.Shards = engines
	if o.Store == "tan" {
		hostConfig.Expert.LogDBFactory = tan.Factory
	}
	host, err := dragonboat.NewNodeHost(hostConfig)
	if err != nil {
		return nil, err
	}
	electionRTT := uint64(50)
	if o.Host == 1 {
		electionRTT = 15
	}
	for shard := uint64(1); shard <= uint64(o.Shards); shard++ {
		create := func(uint64, uint64) sm.IStateMachine { return &countingMachine{} }
		err := host.StartReplica(members, false, create, config.Config{
			ShardID: shard, ReplicaID: uint64(o.Host), ElectionRTT: electionRTT, HeartbeatRTT: 5, CheckQuorum: true,
		})
		if err != nil {
			host.Close()
			return nil, err
		}
	}
	return host, nil
}

func lead(host *dragonboat.NodeHost, shards int) error {
	deadline := time.Now().Add(readyDeadline)
	for shard := uint64(1); shard <= uint64(shards); shard++ {
		for {
			leader, _, known, err := host.GetLeaderID(shard)
			if err == nil && known && leader == 1 {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("shard %d is led by %d", shard, leader)
			}
			if known && leader != 1 {
				_ = host.RequestLeaderTransfer(shard, 1)
			}
			time.Sleep(tick)
		}
	}
	return nil
}

func load(host *dragonboat.NodeHost, o options) (loadResult, error) {
	sessions := make([]*client.Session, o.Shards)
	for at := range sessions {
		sessions[at] = host.GetNoOPSession(uint64(at + 1))
	}
	written := make([]atomic.Uint64, o.Shards)
	var writes, failures atomic.Int64
	var measuring, stopped atomic.Bool
	samples := make([][]time.Duration, o.Inflight)
	var clients sync.WaitGroup
	for at := range o.Inflight {
		clients.Go(func() {
			payload := make([]byte, o.Payload)
			for i := at; !stopped.Load(); i++ {
				shard := i % o.Shards
				start := time.Now()
				request, err := host.Propose(sessions[shard], payload, writeTimeout)
				if err == nil {
					outcome := <-request.ResultC()
					request.Release()
					if !outcome.Completed() {
						err = fmt.Errorf("refused: %v", outcome)
					}
				}
				if err != nil {
					if failures.Add(1) == 1 {
						fmt.Fprintln(os.Stderr, "first error:", err)
					}
					continue
				}
				written[shard].Add(1)
				if !measuring.Load() {
					continue
				}
				writes.Add(1)
				if i%sampleEvery == 0 || o.Inflight <= 64 {
					samples[at] = append(samples[at], time.Since(start))
				}
			}
		})
	}
	time.Sleep(time.Duration(o.Warmup * float64(time.Second)))
	measuring.Store(true)
	start := time.Now()
	time.Sleep(time.Duration(o.Seconds * float64(time.Second)))
	counted := writes.Load()
	elapsed := time.Since(start)
	measuring.Store(false)
	stopped.Store(true)
	clients.Wait()

	done := loadResult{PerSecond: float64(counted) / elapsed.Seconds(), Errors: failures.Load()}
	for at := range written {
		done.ByShard = append(done.ByShard, written[at].Load())
	}
	all := slices.Concat(samples...)
	if len(all) == 0 {
		return done, fmt.Errorf("nothing was written")
	}
	slices.Sort(all)
	done.P50Ms = all[len(all)/2].Seconds() * 1e3
	done.P99Ms = all[len(all)*99/100].Seconds() * 1e3
	var err error
	done.States, err = states(host, o.Shards)
	return done, err
}

func states(host *dragonboat.NodeHost, shards int) ([]state, error) {
	var all []state
	for shard := uint64(1); shard <= uint64(shards); shard++ {
		found, err := host.StaleRead(shard, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, found.(state))
	}
	return all, nil
}
