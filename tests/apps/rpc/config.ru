require_relative "app"
run Chat.new
