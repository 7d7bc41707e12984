"""A payment gateway for the laptop: Stripe's wire format and rules, kept in a file, with faults on request.

It is chosen like Stripe's own test mode, by Stripe's test payment methods, so that the same sample payments work there. What
Stripe has no card for is asked for in the payment's metadata: `sandbox_fault = "refund.create:drop_after_commit*2"`.
"""
