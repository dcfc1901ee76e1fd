{# What a rule set's values look like in SQL, and the keys by which a touch and a conversion meet. #}

{# Whole days that cover this many milliseconds. #}
{% macro days_of(milliseconds) %}{{ (milliseconds + 86399999) // 86400000 }}{% endmacro %}

{# A text as a ClickHouse literal: rule sets hold names that people typed. #}
{% macro sql_text(text) -%}
'{{ text | replace("\\", "\\\\") | replace("'", "\\'") }}'
{%- endmacro %}

{% macro sql_texts(texts) -%}
[{% for text in texts %}{{ sql_text(text) }}{% if not loop.last %}, {% endif %}{% endfor %}]
{%- endmacro %}

{# Condition: the column is one of these texts; false for an empty list. #}
{% macro is_one_of(column, texts) -%}
{% if texts %}{{ column }} in {{ sql_texts(texts) }}{% else %}false{% endif %}
{%- endmacro %}

{#
  The window of a method, say click_window_ms, for the channel in columns `source` and `medium`: the entry with that
  medium, else the one without, else the rule set's own.
#}
{% macro channel_window(method) -%}
{%- set rules = var('rules') -%}
{%- set exact, general = [], [] -%}
{%- for channel in rules.channels -%}
  {%- do (exact if channel.medium else general).append(channel) -%}
{%- endfor -%}
{%- set own = 'toInt64(' ~ rules[method] ~ ')' -%}
{%- if general -%}
  {%- set own -%}
    transform(source, {{ sql_texts(general | map(attribute='source')) }}, {{ general | map(attribute=method) | list }}, {{ own }})
  {%- endset -%}
{%- endif -%}
{%- if exact -%}
  {%- set names = [] -%}
  {%- for channel in exact -%}{%- do names.append(channel.source ~ '\n' ~ channel.medium) -%}{%- endfor -%}
  transform(concat(source, '\n', medium), {{ sql_texts(names) }}, {{ exact | map(attribute=method) | list }}, {{ own }})
{%- else -%}
  {{ own }}
{%- endif -%}
{%- endmacro %}

{#
  Hash of one key of a touch or a conversion, 0 where a part is empty. Kind: 'c' click id, 'd' device, 'f' network, user
  agent and OS of a day. A hash only finds pairs: whoever joins by it compares the columns themselves.
#}
{% macro match_key(kind, columns, day=none) -%}
if({% for column in columns %}coalesce({{ column }} = '', true){% if not loop.last %} or {% endif %}{% endfor %}, 0, cityHash64('{{ kind }}', app_id, {% if day %}toDate({{ day }}), {% endif %}{% for column in columns %}assumeNotNull({{ column }}){% if not loop.last %}, {% endif %}{% endfor %}))
{%- endmacro %}
