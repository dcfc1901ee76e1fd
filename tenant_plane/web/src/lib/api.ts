// Calls to this tenant's own backend. The session is an HttpOnly cookie: no token is ever seen here.

import type { Config, NewPassword, Role, WhoAmI } from "./types";

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

function send<T>(method: string, path: string, body: unknown): Promise<T> {
  return call<T>(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

/** The address of a report, or of its table as a file. */
export function reportPath(page: string, parameters: Record<string, string>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== "");
  const query = new URLSearchParams(given);
  return `/api/v1/dashboard/${page}${query.size > 0 ? `?${query}` : ""}`;
}

export const get = <T>(path: string) => call<T>(path);
export const config = () => call<Config>("/config.json");
export const whoAmI = () => call<WhoAmI>("/api/v1/auth");
export const refresh = () => call<WhoAmI>("/api/v1/auth/refresh", { method: "POST" });
export const signOut = () => call<undefined>("/api/v1/auth", { method: "DELETE" });
export const signIn = (user: string, password: string) => send<WhoAmI>("POST", "/api/v1/auth", { user, password });
export const changePassword = (current: string, next: string) =>
  send<undefined>("POST", "/api/v1/auth/password", { current, new: next });

const pathOf = (user: string) => `/api/v1/users/${encodeURIComponent(user)}`;
export const addUser = (user: string, role: Role) => send<NewPassword>("POST", "/api/v1/users", { user, role });
export const changeRole = (user: string, role: Role) => send<undefined>("PUT", pathOf(user), { role });
export const renewPassword = (user: string) => call<NewPassword>(`${pathOf(user)}/password`, { method: "POST" });
export const removeUser = (user: string) => call<undefined>(pathOf(user), { method: "DELETE" });
