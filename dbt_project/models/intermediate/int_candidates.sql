-- grain: conversion x candidate touch, once, by the best of the ways in which they match
--
-- Matching never crosses tenant or app. A touch is kept by a shared click id, referrer or device from 30 days before
-- the conversion to an hour after it on the same UTC day, by network, user agent and OS from 24 hours before it.
-- The touches are read once: each is spread over those of its keys that some conversion has, which meet in one INNER
-- JOIN (an ASOF join would pick by row order where times tie). The third kind of key holds the UTC day, and a
-- conversion has its own day's and the day before's: thousands may share a network in a month, few in two days. A pair
-- that meets by several keys stays at its best one only.
{{ candidates_of(ref('int_conversions')) }}
