// The shapes of the plane's JSON; schemas/openapi/tenant_plane.json is their source. The reports' are in report-types.ts.

export type * from "./report-types";

export type Period = "7d" | "30d" | "90d" | "365d";

export interface Config {
  TENANT_ID: string;
  VERSION: string;
  CURRENCY: string;
}

export type Role = "tenant_admin" | "tenant_analyst";

export interface WhoAmI {
  tenantId: string;
  user: string;
  role: Role;
  expiresAt: string;
}

export interface Totals {
  reportedDays: number;
  events: number;
  sessions: number;
  newUsers: number;
  purchases: number;
  purchasesOtherCurrency: number;
  dailyActiveUsersMean: number;
  dailyActiveUsersPeak: number;
  revenueMicros: number;
  installs: number;
  organicInstalls: number;
  paidInstalls: number;
  paidRevenueMicros: number;
  spendMicros: number;
  roas: number | null;
  cpiMicros: number | null;
}

export interface Daily {
  date: string;
  reported: boolean;
  events: number;
  activeUsers: number;
  newUsers: number;
  revenueMicros: number;
  installs: number;
}

export interface Campaign {
  source: string;
  campaign: string;
  installs: number;
  revenueMicros: number;
  spendMicros: number;
  clicks: number;
  impressions: number;
  roas: number | null;
  cpiMicros: number | null;
}

export interface HistogramBin {
  fromMicros: number;
  toMicros: number;
  users: number;
}

export interface Ltv {
  model: string;
  asOf: string;
  users: number;
  meanMicros: number;
  p50Micros: number;
  p90Micros: number;
  histogram: HistogramBin[];
}

export interface Stats {
  tenantId: string;
  period: Period;
  from: string | null;
  to: string | null;
  totals: Totals;
  previous: Totals;
  daily: Daily[];
  campaigns: Campaign[];
  ltv: Ltv | null;
  freshness: { latestDate: string | null; pushedAt: string | null };
}

export interface UserList {
  usersMax: number | null;
  users: { user: string; role: Role; createdAt: string; signedInAt: string | null }[];
  changes: { at: string; actor: string; action: string; user: string; role: string | null }[];
}

export interface NewPassword {
  user: string;
  password: string;
}
