// The shapes of the reports' JSON; schemas/openapi/tenant_plane.json is their source.

import type { Ltv } from "./types";

interface Dated {
  from: string | null;
  to: string | null;
}

export interface AttributionRow {
  source: string;
  campaign: string;
  spendMicros: number;
  clicks: number;
  installs: number;
  revenueMicros: number;
  cpiMicros: number | null;
  roas: number | null;
  againstInstalls: number;
  againstRevenueMicros: number;
  installsDifference: number;
  revenueDifferenceMicros: number;
  previousInstalls: number;
  previousRevenueMicros: number;
}

export interface Attribution extends Dated {
  reportedDays: number;
  previousReportedDays: number;
  models: string[];
  rows: AttributionRow[];
}

export interface ChannelCredit {
  channel: string;
  model: string;
  installs: number;
  revenueMicros: number;
  previousInstalls: number;
}

export interface Channels extends Dated {
  rows: ChannelCredit[];
}

export interface CohortCell {
  day: number;
  retention: number | null;
  revenuePerInstallMicros: number | null;
  roas: number | null;
}

export interface CohortRow {
  from: string;
  to: string;
  size: number;
  spendMicros: number;
  cells: CohortCell[];
}

export interface Cohorts extends Dated {
  sources: string[];
  days: number[];
  rows: CohortRow[];
  overall: CohortCell[];
  previous: CohortCell[];
}

export interface SpendTotals {
  reportedDays: number;
  spendMicros: number;
  paidRevenueMicros: number;
  paidInstalls: number;
  roas: number | null;
  cpiMicros: number | null;
}

export interface SpendDay {
  date: string;
  reported: boolean;
  spendMicros: number;
  paidRevenueMicros: number;
  paidInstalls: number;
  roas: number | null;
  cpiMicros: number | null;
}

export interface SpendRow {
  source: string;
  spendMicros: number;
  impressions: number;
  clicks: number;
  installs: number;
  revenueMicros: number;
  roas: number | null;
  cpiMicros: number | null;
  previousSpendMicros: number;
  previousRevenueMicros: number;
  previousRoas: number | null;
}

export interface Spend extends Dated {
  totals: SpendTotals;
  previous: SpendTotals;
  daily: SpendDay[];
  rows: SpendRow[];
}

export interface FunnelStep {
  stepIndex: number;
  step: string;
  half: "before_install" | "from_install";
  devices: number;
  previousDevices: number;
  shareOfFirst: number | null;
  shareOfEarlier: number | null;
}

export interface FunnelRow {
  source: string;
  campaign: string;
  impressions: number;
  clicks: number;
  installs: number;
  sessions: number;
  events: number;
  purchases: number;
}

export interface Funnel extends Dated {
  reportedDays: number;
  previousReportedDays: number;
  sources: string[];
  steps: FunnelStep[];
  rows: FunnelRow[];
}

export interface FraudFinding {
  source: string;
  rule: string;
  verdict: string;
  days: number;
  touches: number;
  installs: number;
  highestShare: number;
  norm: number;
  latestDate: string;
  reason: string;
  previousTouches: number;
  previousInstalls: number;
}

export interface FraudTotals {
  reportedDays: number;
  rejectedTouches: number;
  flaggedFindings: number;
  sources: number;
}

export interface Fraud extends Dated {
  totals: FraudTotals;
  previous: FraudTotals;
  daily: { date: string; reported: boolean; rejectedTouches: number; flaggedFindings: number }[];
  findings: FraudFinding[];
}

export interface Value {
  ltv: (Ltv & { previousAsOf: string | null; previousMeanMicros: number | null }) | null;
  bySource: { source: string; users: number; meanMicros: number; totalMicros: number }[];
  churn: {
    model: string;
    asOf: string;
    users: number;
    mean: number;
    atRiskUsers: number;
    histogram: { from: number; to: number; users: number }[];
  } | null;
}

export interface InstallItem {
  installId: string;
  installTime: string;
  appId: string;
  platform: string;
  country: string;
  source: string;
  campaign: string;
  matchType: string;
  tier: number;
}

export interface InstallList extends Dated {
  total: number;
  items: InstallItem[];
  nextOffset: number | null;
}

export interface TraceCandidate {
  touchId: string;
  touchType: string;
  touchTime: string;
  source: string;
  medium: string;
  campaign: string;
  matchType: string;
  ctitMs: number;
  windowMs: number;
  candidateRank: number;
  waterfallPosition: number;
  verdict: string;
  reason: string;
}

export interface InstallTrace {
  install: InstallItem;
  touchId: string;
  touchType: string;
  ctitMs: number | null;
  rulesetHash: string;
  hasCandidates: boolean;
  candidates: TraceCandidate[];
  mayBeCut: boolean;
}

export interface DataSet {
  name: string;
  kind: "mart" | "scores";
  rows: number;
  dates: number;
  firstDate: string | null;
  latestDate: string | null;
  missingDays: number;
  storedBytes: number;
  pushedAt: string | null;
}

export interface Quota {
  name: "events_per_day" | "storage_bytes" | "export_bytes_per_day" | "users" | "relay_bytes";
  used: number;
  limit: number | null;
  share: number | null;
}

export interface DataState {
  plan: string | null;
  latestDate: string | null;
  pushedAt: string | null;
  eventDaysBehind: number | null;
  quotas: Quota[];
  sets: DataSet[];
}
