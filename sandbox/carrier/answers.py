"""EasyPost's objects, with the fields and the forms of time that the recorded tests of its own library show."""

from datetime import datetime
from typing import Any

from sandbox.carrier.model import Parcel, Rate, Scan

CARRIER = "UPS"
Json = dict[str, Any]


def seconds(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def _milliseconds(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _with_offset(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}+00:00"


def shipment_json(parcel: Parcel) -> Json:
    bought = parcel.bought_rate
    return {
        "id": parcel.id,
        "object": "Shipment",
        "mode": "test",
        "reference": parcel.reference,
        "to_address": _address(parcel, parcel.to_address),
        "from_address": _address(parcel, parcel.from_address),
        "return_address": _address(parcel, parcel.from_address),
        "buyer_address": _address(parcel, parcel.to_address),
        "parcel": _dimensions(parcel),
        "customs_info": parcel.customs_info,
        "options": {"currency": "USD", "payment": {"type": "SENDER"}, "date_advance": 0, **parcel.options},
        "is_return": False,
        "messages": [],
        "forms": [],
        "fees": [],
        "insurance": None,
        "scan_form": None,
        "order_id": None,
        "batch_id": None,
        "batch_status": None,
        "batch_message": None,
        "usps_zone": 4,
        "rates": [_rate(parcel, rate) for rate in parcel.rates],
        "selected_rate": _rate(parcel, bought) if bought else None,
        "postage_label": _label(parcel) if bought else None,
        "tracking_code": parcel.tracking_number,
        "tracker": tracker_json(parcel) if bought else None,
        "status": parcel.status,
        "refund_status": parcel.refund_status,
        "created_at": seconds(parcel.created_at),
        "updated_at": seconds(parcel.updated_at),
    }


def _address(parcel: Parcel, given: Json) -> Json:
    made = _with_offset(parcel.created_at)
    texts = ("name", "company", "street1", "street2", "city", "state", "zip", "country", "phone", "email")
    return {
        **dict.fromkeys(texts),
        "carrier_facility": None,
        "residential": None,
        "federal_tax_id": None,
        "state_tax_id": None,
        "verifications": {},
        **given,
        "created_at": made,
        "updated_at": made,
    }


def _dimensions(parcel: Parcel) -> Json:
    made = seconds(parcel.created_at)
    return {
        **dict.fromkeys(("length", "width", "height", "predefined_package")),
        **parcel.dimensions,
        "created_at": made,
        "updated_at": made,
    }


def _rate(parcel: Parcel, rate: Rate) -> Json:
    made = seconds(parcel.created_at)
    return {
        "id": rate.id,
        "object": "Rate",
        "mode": "test",
        "shipment_id": parcel.id,
        "carrier": CARRIER,
        "carrier_account_id": "ca_sandbox",
        "service": rate.service,
        "rate": rate.price,
        "currency": "USD",
        "list_rate": rate.price,
        "list_currency": "USD",
        "retail_rate": rate.price,
        "retail_currency": "USD",
        "billing_type": "easypost",
        "delivery_days": 2,
        "est_delivery_days": 2,
        "delivery_date": None,
        "delivery_date_guaranteed": False,
        "created_at": made,
        "updated_at": made,
    }


def _label(parcel: Parcel) -> Json:
    made = seconds(parcel.created_at)
    return {
        "id": f"pl_{parcel.id.removeprefix('shp_')}",
        "object": "PostageLabel",
        "date_advance": 0,
        "integrated_form": "none",
        "label_date": made,
        "label_resolution": 300,
        "label_size": "4x6",
        "label_type": "default",
        "label_file": None,
        "label_file_type": "image/png",
        "label_url": f"http://127.0.0.1/labels/{parcel.tracking_number}.png",
        "label_pdf_url": None,
        "label_zpl_url": None,
        "label_epl2_url": None,
        "created_at": made,
        "updated_at": made,
    }


def tracker_json(parcel: Parcel) -> Json:
    latest = parcel.scans[-1]
    return {
        "id": parcel.tracker_id,
        "object": "Tracker",
        "mode": "test",
        "tracking_code": parcel.tracking_number,
        "status": latest.status,
        "status_detail": latest.detail,
        "carrier": CARRIER,
        "shipment_id": parcel.id,
        "signed_by": None,
        "weight": None,
        "est_delivery_date": None,
        "carrier_detail": None,
        "public_url": f"http://127.0.0.1/track/{parcel.tracking_number}",
        "fees": [],
        "tracking_details": [_detail(scan) for scan in parcel.scans],
        "created_at": seconds(parcel.created_at),
        "updated_at": seconds(latest.at),
    }


def _detail(scan: Scan) -> Json:
    return {
        "object": "TrackingDetail",
        "message": scan.detail.replace("_", " ").capitalize(),
        "description": "",
        "status": scan.status,
        "status_detail": scan.detail,
        "datetime": seconds(scan.at),
        "source": CARRIER,
        "carrier_code": "",
        "tracking_location": {"object": "TrackingLocation", "city": None, "state": None, "country": None, "zip": None},
    }


def refund_json(parcel: Parcel) -> Json:
    return {
        "id": f"rfnd_{parcel.id.removeprefix('shp_')}",
        "object": "Refund",
        "tracking_code": parcel.tracking_number,
        "confirmation_number": None,
        "status": parcel.refund_status,
        "carrier": CARRIER,
        "shipment_id": parcel.id,
        "created_at": seconds(parcel.created_at),
        "updated_at": seconds(parcel.updated_at),
    }


def event_json(event_id: str, description: str, made_at: str) -> Json:
    """As in the list of events: what it is about is not there."""
    return {
        "id": event_id,
        "object": "Event",
        "mode": "test",
        "user_id": "user_sandbox",
        "description": description,
        "status": "pending",
        "created_at": _milliseconds(datetime.fromisoformat(made_at)),
    }
