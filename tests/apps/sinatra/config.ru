require_relative "app"
run Rooms
