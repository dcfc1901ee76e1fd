// Calls to this tenant's own backend. The session is an HttpOnly cookie: no token is ever seen here.

import type { Config, Period, Stats, WhoAmI } from "./types";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfterS: number,
  ) {
    super(message);
  }
}

async function call<T>(path: string, init?: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch {
    throw new ApiError(0, "", 0);
  }
  if (!response.ok) {
    const problem: unknown = await response.json().catch(() => null);
    const detail =
      typeof problem === "object" && problem !== null && "detail" in problem ? String(problem.detail) : "";
    throw new ApiError(response.status, detail, Number(response.headers.get("Retry-After") ?? 0));
  }
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export const config = () => call<Config>("/config.json");
export const whoAmI = () => call<WhoAmI>("/api/v1/auth");
export const refresh = () => call<WhoAmI>("/api/v1/auth/refresh", { method: "POST" });
export const signOut = () => call<undefined>("/api/v1/auth", { method: "DELETE" });
export const stats = (period: Period) => call<Stats>(`/api/v1/dashboard/stats?period=${period}`);

export const signIn = (user: string, password: string) =>
  call<WhoAmI>("/api/v1/auth", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user, password }),
  });
