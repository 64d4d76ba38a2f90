export { withoutAmbient } from './ambient-guard.ts';
export {
  type CounterFault,
  type CounterInput,
  type CounterOperation,
  type CounterOutput,
  checkCounter,
} from './checkers/counter-checker.ts';
export type { CheckReport, Finding } from './checkers/finding.ts';
export {
  checkListAppend,
  type ListFault,
  type ListStep,
  type ListTransaction,
} from './checkers/list-append.ts';
export {
  checkSet,
  type SetFault,
  type SetInput,
  type SetOperation,
  type SetOutput,
} from './checkers/set-checker.ts';
export { type ClusterConfig, clusterConfigs } from './cluster/cluster-config.ts';
export {
  type ClientOperation,
  type ClientPlan,
  type ClusterPlan,
  type ClusterTuning,
  drawClusterPlan,
  type GroupPlan,
  type HostPlan,
} from './cluster/cluster-plan.ts';
export { type ClusterResult, runCluster } from './cluster/sim-cluster.ts';
export {
  addTotals,
  belowFloors,
  newTotals,
  type TotalName,
  type Totals,
  totalNames,
} from './cluster/totals.ts';
export type { InvariantId, Violation } from './cluster/violation.ts';
export {
  applyCrash,
  type CrashPolicy,
  type CrashCounts,
  type CrashWeights,
  crashAfterOrder,
  crashWithout,
  keepEverything,
  loseEverything,
  randomCrash,
  type WriteOutcome,
} from './disk-crash.ts';
export {
  type DiskCall,
  type DiskLatency,
  type DiskOp,
  defaultDiskLatency,
  type FaultEffect,
  type FaultRule,
  PlannedFault,
} from './disk-faults.ts';
export { DiskImage } from './disk-image.ts';
export { DiskSurgery } from './disk-surgery.ts';
export type { PendingName, PendingWrite } from './disk-tree.ts';
export { type FaultHooks, FaultInjector } from './fault-injector.ts';
export {
  drawFaultSchedule,
  type Fault,
  type FaultConfig,
  type FaultKind,
  type FaultSchedule,
  type FaultWindow,
  type LinkName,
  type PartitionShape,
  partitionLinks,
  partitionShapes,
} from './fault-schedule.ts';
export {
  type CheckOptions,
  checkLinearizable,
  type HistoryOperation,
  illegal,
  type Linearizability,
  type SequentialModel,
} from './linearizability.ts';
export { QueueScheduler } from './queue-scheduler.ts';
export {
  describeRegisterOperation,
  HistoryRecorder,
  type RecordedCall,
  type RegisterInput,
  type RegisterOperation,
  type RegisterOutput,
  type RegisterValue,
  registerModel,
} from './register-model.ts';
export {
  type TextInput,
  TextNode,
  type TextOperation,
  type TextOutput,
  textModel,
} from './text-model.ts';
export { type ShrinkResult, shrinkList } from './shrink.ts';
export { SimClock, type SimClockOptions } from './sim-clock.ts';
export { SimConn } from './sim-conn.ts';
export { type DiskScheduler, SimDisk, type SimDiskOptions } from './sim-disk.ts';
export {
  type KernelOptions,
  type RunEnd,
  type RunLimits,
  SimEvent,
  SimKernel,
  SimOwner,
} from './sim-kernel.ts';
export { defaultLink, type LinkOptions, type LinkState, SimLink, SimMachine } from './sim-link.ts';
export { type NetworkCounters, SimNet, SimNetwork, type SimNetworkOptions } from './sim-net.ts';
export { SimRng } from './sim-rng.ts';
export { SimHost, type SimHostOptions, SimWorld, type SimWorldOptions } from './sim-world.ts';
