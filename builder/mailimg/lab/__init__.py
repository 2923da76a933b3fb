"""The whole platform on one machine, from the built images, in namespaces of its own: a rehearsal of a site.

    plan        what there is to be: a value that can be printed
    start       the outer half: starts the supervisor, follows it, finds it again, ends it
    __main__    the first process of the namespaces
    supervisor  the inner half: network, peers, nodes, control
    checks      what `mailimg lab test` proves
"""
