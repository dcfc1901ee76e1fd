// The periods that pages offer; the server's own.

import type { Period } from "./types";

export const PERIODS: readonly Period[] = ["7d", "30d", "90d"];
export const COHORT_PERIODS: readonly Period[] = ["7d", "30d", "90d", "365d"];
