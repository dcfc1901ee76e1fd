// Which form a number takes in a language: Intl knows the rules, the messages know the words.

export type Forms = { other: string } & Partial<Record<Intl.LDMLPluralRule, string>>;

export function pluralIn(locale: string): (value: number, forms: Forms) => string {
  const rules = new Intl.PluralRules(locale);
  return (value, forms) => forms[rules.select(value)] ?? forms.other;
}
