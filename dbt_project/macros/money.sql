{#
  Whole micros of an amount per weight, summing to it exactly: floors first, the rest to the largest remainders, ties
  to the earlier place, nothing where the weight is 0 (as resources/credit/money.py allots).

  A weight becomes a multiple of 2^-60, which holds every float64 above 2^-8 exactly, and 63 bits of money times 60
  fit Int128, so no float ever rounds money. The first macro gives the columns that the second one reads; `amount` and
  `weights` are columns, `places` is 1..n of the weights.
#}
{% macro allotment_columns(amount, weights) -%}
    toInt128(1152921504606846976) as whole,
    arrayMap(weight -> toInt128(toInt64(weight * 1152921504606846976)), {{ weights }}) as claims,
    arrayMap(claim -> toInt128(abs({{ amount }})) * claim, claims) as quotas,
    arrayMap(quota -> intDiv(quota, whole), quotas) as floors,
    arrayFilter(place -> claims[place] > 0, places) as claimants,
    toInt128(abs({{ amount }})) - arraySum(floors) as unallotted,
    positiveModulo(unallotted, length(claimants)) as leftover,
    intDiv(unallotted - leftover, toInt128(length(claimants))) as extra_each,
    arraySlice(arraySort(place -> (-(quotas[place] % whole), place), claimants), 1, toUInt32(leftover)) as receivers
{%- endmacro %}

{% macro allotted(amount, place) -%}
    toInt64(
        sign({{ amount }})
        * (floors[{{ place }}] + if(claims[{{ place }}] > 0, extra_each, 0) + has(receivers, {{ place }}))
    )
{%- endmacro %}

{#
  The sum of weights, the same in whatever order threads add them up: as multiples of 2^-60. A sum of floats may differ
  in its last bit from one run to the next, and a rebuild is to give the same rows.
#}
{% macro exact_sum(weight) -%}
    toFloat64(sum(toInt128(toInt64({{ weight }} * 1152921504606846976)))) / 1152921504606846976
{%- endmacro %}
