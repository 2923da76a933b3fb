"""Run one real OpenStack service on 127.0.0.1 in one process. Runs with the services' interpreter.

    serve.py SERVICE PORT FOLDER

There is no message bus: the consumers of Octavia and Heat run in threads of the same process, behind oslo.messaging's
fake:// transport.
"""

import contextlib
import inspect
import os
import signal
import ssl
import sys
import threading
import time
from pathlib import Path

SERVICE, PORT, FOLDER = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
CONFIG = str(FOLDER / "etc" / SERVICE / f"{SERVICE}.conf")


class Turn:
    """One at a time, in the order in which they came, jobs of a worker before requests.

    SQLite lets a transaction that began by reading become a writer only if nobody else wrote since ("database is
    locked", at once, whatever the time-out), and these services nest sessions. So a service does one thing at a time.
    A worker of a cloud is a process of its own: it does not queue behind requests, of which a hundred may wait here.
    """

    def __init__(self):
        lock = threading.Lock()
        self._jobs, self._requests = threading.Condition(lock), threading.Condition(lock)
        self._held, self._waiting = False, 0

    @contextlib.contextmanager
    def request(self):
        """A request's turn."""
        with self._requests:
            self._requests.wait_for(lambda: not self._held and not self._waiting)
            self._held = True
        yield from self._turn()

    @contextlib.contextmanager
    def job(self):
        """A job's turn."""
        with self._jobs:
            self._waiting += 1
            self._jobs.wait_for(lambda: not self._held)
            self._waiting -= 1
            self._held = True
        yield from self._turn()

    def _turn(self):
        try:
            yield
        finally:
            with self._jobs:
                self._held = False
                (self._jobs if self._waiting else self._requests).notify()


TURN = Turn()

# What must live as long as the process.
KEPT = []


def keystone():
    """The identity service."""
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = CONFIG
    from keystone.wsgi.api import application

    return application


def glance():
    """The image service."""
    os.environ["OS_GLANCE_CONFIG_DIR"] = str(Path(CONFIG).parent)
    from glance.wsgi.api import application

    return application


def barbican():
    """The key manager; its own WSGI script knows no other place than /etc, and its configuration is read at import."""
    from barbican.common import config  # noqa: F401
    from paste import deploy

    return deploy.loadapp(f"config:{Path(CONFIG).with_name('barbican-api-paste.ini')}")


def octavia():
    """The load balancer service with its worker."""
    import sqlalchemy

    create_engine = sqlalchemy.create_engine

    def own_place(url, *args, **options):
        # The drivers that do nothing share one state file in /tmp, whoever runs them.
        if str(url) == "sqlite:////tmp/octavia-network-noop.db":
            url = f"sqlite:///{FOLDER}/data/octavia-noop.db"
        return create_engine(url, *args, **options)

    import octavia.compute.drivers.noop_driver.driver as compute
    import octavia.network.drivers.noop_driver.driver as network

    compute.create_engine = network.create_engine = own_place
    from octavia.api import app
    from octavia.common import config

    # SQLAlchemy's pool for SQLite files takes no time-out.
    config.cfg.CONF.set_override("pool_timeout", None, group="database")
    application = app.setup_app(argv=["octavia-api", "--config-file", CONFIG])
    from octavia.controller.queue.v2 import consumer, endpoints

    for name, method in list(vars(endpoints.Endpoints).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(endpoints.Endpoints, name, _job(method))
    worker = consumer.ConsumerService(0, config.cfg.CONF)
    worker.run()
    KEPT.append(worker)
    return application


def _job(method):
    """A job of the worker; until it ends, objects are PENDING and their load balancer immutable (409)."""

    def job(*args, **options):
        with contextlib.suppress(FileNotFoundError):
            time.sleep(float((FOLDER / "pending").read_text()))
        with TURN.job():
            return method(*args, **options)

    return job


def writers_wait():
    """Every transaction of SQLite takes the right to write when it begins: then others wait instead of failing.

    Heat works at several resources at once, in threads; it cannot do one thing at a time, because a thread of it waits
    for another.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def at_once(_connection, _cursor, statement, parameters, _context, _many):
        # The statement is oslo.db's, which keeps SQLite's driver from beginning by itself.
        return ("BEGIN IMMEDIATE" if statement == "BEGIN" else statement), parameters


def heat():
    """The orchestration service with its engine."""
    writers_wait()
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
    from heat.api.openstack import wsgi

    application = wsgi.init_application()
    from heat.engine import service
    from heat.rpc import api
    from oslo_config import cfg

    engine = service.EngineService(cfg.CONF.host, api.ENGINE_TOPIC)
    engine.start()
    KEPT.append(engine)
    return application


def in_turn(application):
    """A WSGI application that answers one request at a time."""

    def wrapped(environ, start_response):
        with TURN.request():
            body = application(environ, start_response)
            try:
                return [b"".join(body)]
            finally:
                getattr(body, "close", lambda: None)()

    return wrapped


def end_with(parent):
    """End when whoever started this is gone, even by SIGKILL: no service outlives its tests."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main():
    """Load the service, then listen: whoever is answered is answered by a service that is ready."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    # Keystone and Heat would take the arguments for their own.
    sys.argv = [SERVICE]
    application = {"keystone": keystone, "glance": glance, "barbican": barbican, "octavia": octavia, "heat": heat}[
        SERVICE]()
    if SERVICE in ("keystone", "barbican", "octavia"):
        application = in_turn(application)
    from werkzeug.serving import make_server

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(FOLDER / "etc" / "localhost.pem"), str(FOLDER / "etc" / "localhost.key"))
    server = make_server("127.0.0.1", PORT, application, threaded=True, ssl_context=context)
    server.daemon_threads = True
    # The threads of the consumers know no end of their own.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


main()
