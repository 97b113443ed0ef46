"""Calm requests to a server that refuses everybody once more than 30 connections are in use: one for each user."""

from locust import FastHttpUser, constant, task


class Guest(FastHttpUser):
    wait_time = constant(0.2)

    @task
    def enter(self):
        self.client.get("/crowded?most=30", name="/crowded")
