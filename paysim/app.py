"""The HTTP face: routes to cashier, gateway and faults. Reading stops at a limit, work happens in threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from paysim import cashier, faults, pages
from paysim.alipay import gateway
from paysim.config import REQUEST_BYTES_MAX, SMALL_REQUEST_BYTES_MAX
from paysim.errors import Refusal, TooLong, Unanswered, invalid
from paysim.requests import body_of, form_fields, json_as
from paysim.service import Service
from paysim.trades import Trade
from paysim.wechat import api


def create(running: Service) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.service = running
        sender = asyncio.create_task(running.notifier.run())
        try:
            yield
        finally:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sender
            running.database.close()

    routes = [
        Route("/", _welcome, methods=["GET"]),
        Route("/cashier", _cashier, methods=["GET"]),
        Route("/cashier/pay", _press, methods=["POST"]),
        Route("/cashier/wechat", _cashier_wechat, methods=["GET"]),
        Route("/gateway.do", _gateway, methods=["POST"]),
        Route("/statement", _statement, methods=["GET"]),
        Route("/v3/{rest:path}", _api_v3, methods=["GET", "POST"]),
        Route("/faults", _faults, methods=["GET", "POST", "DELETE"]),
        Route("/healthz", _healthz, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={Refusal: _refused})


def _service(request: Request) -> Service:
    running: Service = request.app.state.service
    return running


async def _welcome(request: Request) -> Response:
    return HTMLResponse(pages.welcome(), headers=pages.HEADERS)


async def _cashier(request: Request) -> Response:
    trade = await run_in_threadpool(cashier.visit, _service(request), request.scope["query_string"])
    return _shown(request, trade)


async def _cashier_wechat(request: Request) -> Response:
    token, return_url = (request.query_params.get(name, "") for name in ("prepay_id", "redirect_url"))
    return _shown(request, await run_in_threadpool(cashier.visit_prepared, _service(request), token, return_url))


async def _press(request: Request) -> Response:
    body = await body_of(request, bytes_max=SMALL_REQUEST_BYTES_MAX)
    if not _is_json(request.headers.get("content-type", "")):
        body = _form_as_json(body)
    button = json_as(body, cashier.Press)
    trade = await run_in_threadpool(cashier.press, _service(request), button)
    return _shown(request, trade, failed=button.outcome == "fail")


async def _gateway(request: Request) -> Response:
    body = await body_of(request, bytes_max=REQUEST_BYTES_MAX)
    try:
        return Response(await run_in_threadpool(gateway.answer, _service(request), body), media_type="application/json")
    except Unanswered as fault:
        return _bare(fault)


async def _statement(request: Request) -> Response:
    content = await run_in_threadpool(gateway.download, _service(request), request.query_params.get("ticket", ""))
    return (
        PlainTextResponse("no such link", 404) if content is None else Response(content, media_type="application/zip")
    )


async def _api_v3(request: Request) -> Response:
    asked = api.Request(
        request.method,
        request.scope["raw_path"].decode("latin-1"),
        request.scope["query_string"].decode("latin-1"),
        request.headers.get("authorization", ""),
        await body_of(request, bytes_max=REQUEST_BYTES_MAX),
    )
    try:
        answer = await run_in_threadpool(api.answer, _service(request), asked)
    except Unanswered as fault:
        return _bare(fault)
    return Response(answer.body, answer.status, answer.headers)


def _bare(fault: Unanswered) -> Response:
    return PlainTextResponse("the gateway is not available (a fault that was asked for)", fault.status)


async def _faults(request: Request) -> Response:
    body = await body_of(request, bytes_max=SMALL_REQUEST_BYTES_MAX)
    if request.method == "POST" and not _is_json(request.headers.get("content-type", "")):
        # A web page of somebody else can make a browser post anything but this type.
        raise invalid("isv.invalid-parameter", "faults are asked for as application/json")
    order = json_as(body, faults.Order) if request.method == "POST" else None

    def work() -> list[dict[str, object]]:
        with _service(request).database.transaction() as db:
            if order is not None:
                faults.arm(db, order)
            elif request.method == "DELETE":
                faults.disarm_all(db)
            return faults.armed(db)

    return JSONResponse({"faults": await run_in_threadpool(work)})


async def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _shown(request: Request, trade: Trade, *, failed: bool = False) -> Response:
    """The trade as JSON for a script, as a page for a person."""
    if _is_json(request.headers.get("accept", "")):
        return JSONResponse(
            {
                "trade_no": trade.trade_no,
                "out_trade_no": trade.out_trade_no,
                "trade_status": trade.status,
                "total_cents": trade.total_cents,
                "token": trade.token,
            }
        )
    return HTMLResponse(pages.cashier(trade, failed=failed), headers=pages.HEADERS)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    status = 409 if error.code == "40004" else 400
    if request.url.path.startswith("/cashier") and not _is_json(request.headers.get("accept", "")):
        return HTMLResponse(pages.refusal(error.sentence), status, headers=pages.HEADERS)
    headers = {"Connection": "close"} if isinstance(error, TooLong) else None
    return JSONResponse({"code": error.sub_code, "message": error.sentence}, status, headers)


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip() == "application/json"


def _form_as_json(body: bytes) -> bytes:
    """A browser's form in the shape that scripts send."""
    return msgspec.json.encode(form_fields(body, bytes_max=SMALL_REQUEST_BYTES_MAX))
