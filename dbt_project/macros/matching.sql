{#
  Postbacks that no install of the same day or of the `days` days before accounts for, per day.

  `series` is an expression of Array(Tuple(Date, Int64, Int64)): date, installs and postbacks of that day, in the order
  of the dates. A postback takes up one install, the oldest that is left; an install is taken up once. The result has
  one number per element.
#}
{% macro postbacks_without_install(series, days) -%}
arrayFold(
    (state, day) -> arrayMap(
        open -> (
            arrayMap(
                (one, upto) -> (one.1, greatest(toInt64(0), least(one.2, upto - least(arraySum(open.2), day.3)))),
                open,
                arrayCumSum(open.2)
            ),
            arrayPushBack(state.2, day.3 - least(arraySum(open.2), day.3))
        ),
        [arrayPushBack(arrayFilter(one -> one.1 >= day.1 - {{ days }}, state.1), (day.1, day.2))]
    )[1],
    {{ series }},
    (cast([], 'Array(Tuple(Date, Int64))'), cast([], 'Array(Int64)'))
).2
{%- endmacro %}
