%% The programs of bare.mjs on one BEAM scheduler. `erl -noshell -s beam main PROGRAM SCALE_PERCENT`
%% prints millions of messages (or processes) per second of CPU time.
-module(beam).
-export([main/1]).

main([Program, Percent]) ->
    Scale = list_to_integer(atom_to_list(Percent)) / 100,
    run(Program, Scale / 5),
    {N, Ms} = run(Program, Scale),
    io:format("~p~n", [N / max(Ms, 1) / 1000]),
    halt(0).

run(Program, Scale) ->
    {Before, _} = statistics(runtime),
    N = program(Program, Scale),
    {After, _} = statistics(runtime),
    {N, After - Before}.

program(pingPong, Scale) ->
    N = round(1000000 * Scale),
    Main = self(),
    Pong = spawn(fun() -> pong() end),
    spawn(fun() -> ping(Pong, N, Main) end),
    receive done -> Pong ! stop end,
    2 * N;
program(counting, Scale) ->
    N = round(3000000 * Scale),
    Main = self(),
    Counter = spawn(fun() -> count(N, Main) end),
    spawn(fun() -> produce(Counter, N) end),
    receive done -> ok end,
    N;
program(forkJoin, Scale) ->
    K = 60,
    N = round(20000 * Scale),
    Main = self(),
    All = [spawn(fun() -> work(N, 0.0, Main) end) || _ <- lists:seq(1, K)],
    fork(All, 0, N),
    [receive done -> ok end || _ <- All],
    K * N;
program(ring, Scale) ->
    N = round(2000000 * Scale),
    Main = self(),
    Last = spawn(fun() -> receive {next, First} -> hop(First, Main) end end),
    First = lists:foldl(fun(_, Next) -> spawn(fun() -> hop(Next, Main) end) end, Last, lists:seq(1, 99)),
    Last ! {next, First},
    First ! N,
    receive done -> ok end,
    N;
program(big, Scale) ->
    K = 120,
    N = round(10000 * Scale),
    Main = self(),
    All = [spawn(fun() -> receive {all, T} -> big(T, I, N, I, Main) end end) || I <- lists:seq(1, K)],
    T = list_to_tuple(All),
    [P ! {all, T} || P <- All],
    [P ! reply || P <- All],
    [receive done -> ok end || _ <- All],
    [P ! stop || P <- All],
    2 * K * N;
program(spawn, Scale) ->
    N = round(400000 * Scale),
    Main = self(),
    %% A collector of its own keeps the spawner's mailbox short, which would slow its garbage collection.
    Collector = spawn(fun() -> gather(N), Main ! done end),
    once(N, Collector),
    receive done -> ok end,
    N.

pong() ->
    receive
        {ping, From} -> From ! pong, pong();
        stop -> ok
    end.

ping(_, 0, Main) -> Main ! done;
ping(Pong, N, Main) ->
    Pong ! {ping, self()},
    receive pong -> ping(Pong, N - 1, Main) end.

count(0, Main) -> Main ! done;
count(N, Main) -> receive 1 -> count(N - 1, Main) end.

produce(_, 0) -> ok;
produce(Counter, N) -> Counter ! 1, produce(Counter, N - 1).

work(0, _, Main) -> Main ! done;
work(N, X, Main) -> receive M -> work(N - 1, math:sin(37.2 + M + X), Main) end.

fork(_, N, N) -> ok;
fork(All, I, N) -> [P ! I || P <- All], fork(All, I + 1, N).

hop(Next, Main) ->
    receive
        0 -> Main ! done, hop(Next, Main);
        N -> Next ! N - 1, hop(Next, Main)
    end.

big(All, I, N, Seed, Main) ->
    receive
        {request, From} -> From ! reply, big(All, I, N, Seed, Main);
        reply when N =:= 0 -> Main ! done, big(All, I, -1, Seed, Main);
        reply ->
            Next = (Seed * 1103515245 + 12345) band 16#7fffffff,
            element(Next rem tuple_size(All) + 1, All) ! {request, self()},
            big(All, I, N - 1, Next, Main);
        stop -> ok
    end.

once(0, _) -> ok;
once(N, Main) ->
    P = spawn(fun() -> receive M -> _ = math:sin(M), Main ! done end end),
    P ! N,
    once(N - 1, Main).

gather(0) -> ok;
gather(N) -> receive done -> gather(N - 1) end.
