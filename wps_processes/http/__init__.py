"""The web server: HTTP/1.1 by tornado, whose requests a WSGI application answers in threads.

    server        listens and accepts
    connections   how many may be open, and which one goes when there are too many
    exchange      one request: head, who calls, body, answer
    workers       the threads in which the application works
    turns         how much of all that one user or one address may have at a time

One thread of epoll has all connections, so that one which says little holds nothing but its few
KB. A thread of the application is held neither by who sends slowly nor by who reads slowly.
"""
