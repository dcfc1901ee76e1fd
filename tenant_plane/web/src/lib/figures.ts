// A key figure: a number with what it was before.

export interface KeyFigure {
  id: string;
  label: string;
  value: number | null;
  shown: string;
  hint: string;
  /** Undefined: there is no period before to compare with. */
  before?: number | null;
  better: "up" | "down" | "neither";
}
