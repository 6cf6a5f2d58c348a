"""The runtime client of Python functions: it serves one invocation at a time on the loopback.

The module of the handler is imported before the first request, so that what it costs is paid once, before the
environment is saved. What fails there is told to every invocation.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_TASK = "/var/task"
# The function's own modules come first, but not before ours are loaded: one may be called json.
sys.path[:] = [p for p in sys.path if p not in (_HERE, "", _TASK)]
os.dup2(1, 2)  # one stream, so that lines stay in their order

import base64  # noqa: E402
import decimal  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import resource  # noqa: E402
import selectors  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402

sys.path.insert(0, _TASK)
if os.path.isdir("/var/python-sdk"):
    sys.path.append("/var/python-sdk")

_PORT = 9001
_MAX_HEAD = 64 << 10


class CognitoIdentity:
    __slots__ = ["cognito_identity_id", "cognito_identity_pool_id"]

    def __init__(self):
        self.cognito_identity_id = self.cognito_identity_pool_id = None

    def __repr__(self):
        return f"CognitoIdentity([{self.cognito_identity_id=}, {self.cognito_identity_pool_id=}])"


class Client:
    __slots__ = ["installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"]


class ClientContext:
    __slots__ = ["custom", "env", "client"]


def _fill(cls, values):
    if values is None:
        return None
    obj = cls()
    for name in cls.__slots__:
        setattr(obj, name, values.get(name))
    return obj


class LambdaContext:
    def __init__(self, head):
        self.aws_request_id = head["lambda-runtime-aws-request-id"]
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = head["lambda-runtime-invoked-function-arn"]
        self.tenant_id = None
        self.client_context = None
        self.identity = CognitoIdentity()
        self._deadline = int(head["lambda-runtime-deadline-ms"])
        text = head.get("lambda-runtime-client-context")
        if text:
            given = json.loads(base64.b64decode(text))
            self.client_context = _fill(ClientContext, given)
            if self.client_context is not None and isinstance(self.client_context.client, dict):
                self.client_context.client = _fill(Client, self.client_context.client)

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))

    def log(self, msg):
        sys.stdout.write(str(msg))

    def __repr__(self):
        return (
            "LambdaContext(["
            + ",".join(f"{k}={v}" for k, v in vars(self).items() if not k.startswith("_"))
            + "])"
        )


class _Encoder(json.JSONEncoder):
    def default(self, o):
        if isinstance(o, decimal.Decimal):
            return float(o)
        return super().default(o)


class _Request(logging.Filter):
    id = ""

    def filter(self, record):
        record.aws_request_id = _Request.id or None
        return True


_JSON = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
_PLAIN = set(vars(logging.makeLogRecord({}))) | {"aws_request_id", "message", "asctime", "taskName"}  # of any record


def _line(level, members):
    """A line of a JSON log."""
    now = time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    return json.dumps({**members, "timestamp": at, "level": level}, ensure_ascii=False, default=str)


class _JSONFormatter(logging.Formatter):
    def format(self, record):
        members = {"message": record.getMessage(), "logger": record.name}
        if record.exc_info and record.exc_info[0]:
            kind, value, trace = record.exc_info
            members |= {"stackTrace": traceback.format_tb(trace), "errorType": kind.__name__, "errorMessage": str(value)}
            members["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        if record.aws_request_id:
            members["requestId"] = record.aws_request_id
        more = {k: v for k, v in vars(record).items() if k not in _PLAIN}
        return _line(record.levelname, {**more, **members})


def _logging():
    handler = logging.StreamHandler(sys.stdout)
    form = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    form.converter = time.gmtime
    handler.setFormatter(_JSONFormatter() if _JSON else form)
    handler.addFilter(_Request())
    root = logging.getLogger()
    root.addHandler(handler)
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = {"TRACE": "DEBUG"}.get(level, level)
    if level in ("DEBUG", "INFO", "WARN", "ERROR", "FATAL"):
        root.setLevel(level)


class _Failure(Exception):
    """What the caller is told, and the log."""

    def __init__(self, kind, message, frames=()):
        super().__init__(message)
        self.kind, self.message, self.frames = kind, message, list(frames)

    def body(self, request_id):
        return {
            "errorMessage": self.message,
            "errorType": self.kind,
            "requestId": request_id,
            "stackTrace": self.frames,
        }

    def text(self):
        if _JSON:
            return _line("ERROR", self.body(_Request.id))
        lines = [f"[ERROR] {self.kind}: {self.message}" if self.message else f"[ERROR] {self.kind}"]
        if self.frames:
            lines.append("Traceback (most recent call last):")
            lines += [f.rstrip("\n") for f in self.frames]
        return "\n".join(lines)


def _failure(e):
    """What the code raised; the frames of this file are nobody's business."""
    frames = [f for f in traceback.extract_tb(e.__traceback__) if not f.filename.startswith((_HERE, "<frozen"))]
    return _Failure(type(e).__name__, str(e), traceback.format_list(frames))


def _load():
    """Imports the handler's module."""
    name = os.environ["_HANDLER"]
    try:
        module, function = name.rsplit(".", 1)
    except ValueError as e:
        raise _Failure("Runtime.MalformedHandlerName", f"Bad handler '{name}': {e}") from None
    try:
        loaded = importlib.import_module(module.replace("/", "."))
    except ImportError as e:
        raise _Failure("Runtime.ImportModuleError", f"Unable to import module '{module}': {e}") from None
    except SyntaxError as e:
        frame = f'  File "{e.filename}" Line {e.lineno}\n    {e.text}'
        raise _Failure("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {e}", [frame]) from None
    except Exception as e:
        raise _failure(e) from None
    try:
        return getattr(loaded, function)
    except AttributeError:
        raise _Failure("Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module}'") from None


def _call(handler, head, body):
    """Answers one invocation: the payload, and the failure if it is one."""
    if isinstance(handler, _Failure):
        return handler.body(head["lambda-runtime-aws-request-id"]), handler
    try:
        context = LambdaContext(head)
        try:
            event = json.loads(body)
        except ValueError as e:
            raise _Failure("Runtime.UnmarshalError", f"Unable to unmarshal input: {e}") from None
        result = handler(event, context)
        try:
            return json.dumps(result, ensure_ascii=False, cls=_Encoder).encode(), None
        except (TypeError, ValueError, RecursionError) as e:
            raise _Failure("Runtime.MarshalError", f"Unable to marshal response: {e}") from None
    except _Failure as f:
        return f.body(head["lambda-runtime-aws-request-id"]), f
    except Exception as e:
        f = _failure(e)
        return f.body(head["lambda-runtime-aws-request-id"]), f


def _invoke(handler, head, body):
    _Request.id = head["lambda-runtime-aws-request-id"]
    os.environ["AWS_LAMBDA_LOG_STREAM_NAME"] = head["outcrop-log-stream"]
    payload, failure = _call(handler, head, body)
    if failure is not None:
        print(failure.text())
        payload = json.dumps(payload, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except Exception:  # the function may have closed them
        pass
    os.write(1, b"\x1e" + head["outcrop-end"].encode() + b"\x1e")
    _Request.id = ""
    answer = [f"Outcrop-Max-Memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}"]
    if failure is not None:
        answer.append("Outcrop-Function-Error: Unhandled")
    return payload, answer


class _Connection:
    """A client's connection, and what has come in on it."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""

    def request(self):
        """The next request's first line, headers and body; None at the end."""
        while b"\r\n\r\n" not in self.data:
            if len(self.data) > _MAX_HEAD or not self._more():
                return None
        raw, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = raw.decode("latin-1").split("\r\n")
        head = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            head[name.strip().lower()] = value.strip()
        size = int(head.get("content-length", "0"))
        parts, have = [self.data], len(self.data)
        while have < size:
            part = self.sock.recv(min(1 << 20, size - have))
            if not part:
                return None
            parts.append(part)
            have += len(part)
        whole = b"".join(parts)
        body, self.data = whole[:size], whole[size:]
        return lines[0], head, body

    def _more(self):
        part = self.sock.recv(65536)
        self.data += part
        return bool(part)

    def answer(self, body, head=()):
        lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", *head, "", ""]
        self.sock.sendall("\r\n".join(lines).encode("latin-1") + body)


def _serve(listener, handler):
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.data is None:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                waiting.register(sock, selectors.EVENT_READ, _Connection(sock))
                continue
            try:
                got = key.data.request()
                if got is not None and got[0].startswith("POST /invoke "):
                    key.data.answer(*_invoke(handler, got[1], got[2]))
                elif got is not None:
                    key.data.answer(b"{}")
            except OSError:
                got = None
            if got is None:
                waiting.unregister(key.fileobj)
                key.fileobj.close()


def _main():
    _logging()
    try:
        handler = _load()
    except _Failure as f:
        handler = f
        print(f.text(), flush=True)
    listener = socket.create_server(("127.0.0.1", _PORT), backlog=16)
    _serve(listener, handler)


_main()
