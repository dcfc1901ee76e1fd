-- grain: conversion x candidate touch under the rules of this invocation, as `int_candidates` has it
{{ candidates_of(ref('int_version_conversions')) }}
