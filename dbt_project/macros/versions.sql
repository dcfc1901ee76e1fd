{# The rows of one rule set in a mart that holds several. #}
{% macro version_of(relation, ruleset_hash) -%}
(select * from {{ relation }} where ruleset_hash = '{{ ruleset_hash }}')
{%- endmacro %}
