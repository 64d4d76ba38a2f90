// A state machine that does next to nothing with a command: it counts, and hashes what it was given, with its place.

package main

import (
	"encoding/binary"
	"encoding/json"
	"io"

	sm "github.com/lni/dragonboat/v4/statemachine"
)

type state struct {
	Count uint64
	Hash  uint64
}

type countingMachine struct {
	state state
}

func (m *countingMachine) Update(entry sm.Entry) (sm.Result, error) {
	m.state.Count++
	head := binary.LittleEndian.Uint64(entry.Cmd)
	m.state.Hash = (m.state.Hash^entry.Index^head^uint64(len(entry.Cmd)))*0x100000001b3 + 1
	return sm.Result{}, nil
}

func (m *countingMachine) Lookup(any) (any, error) {
	return m.state, nil
}

func (m *countingMachine) SaveSnapshot(w io.Writer, _ sm.ISnapshotFileCollection, _ <-chan struct{}) error {
	return json.NewEncoder(w).Encode(m.state)
}

func (m *countingMachine) RecoverFromSnapshot(r io.Reader, _ []sm.SnapshotFile, _ <-chan struct{}) error {
	return json.NewDecoder(r).Decode(&m.state)
}

func (m *countingMachine) Close() error {
	return nil
}
