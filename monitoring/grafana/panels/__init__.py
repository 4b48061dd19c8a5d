"""The panels of BookStore's dashboards, a module for each of their subjects.

A module of a subject holds `PANELS`: what each panel asks, in which unit, from where on a value is bad,
and what to do then. It knows PromQL (`promql`) and the shape of a panel (`panel`), never Grafana's JSON;
only `drawing` knows the SDK. Titles are unique over all subjects, so that a panel can be named by its title.
"""
