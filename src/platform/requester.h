// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/time.h"
#include "tessera/ids.h"

#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <sysc/kernel/sc_dynamic_processes.h> // sc_spawn
#include <systemc>
#include <tlm>
#include <tlm_utils/simple_initiator_socket.h>
#include <type_traits>
#include <utility>
#include <vector>

namespace tessera::platform
{

/// What a foreign memory or macro said about one request.
struct Answer
{
    enum class Kind : std::uint8_t
    {
        accepted, ///< takes the next request at `at`
        done,     ///< the work is done at `at`
        failed    ///< `problem` tells
    };
    Kind kind = Kind::done;
    unsigned socket = 0;
    std::uint64_t job = 0;
    std::uint32_t tag = 0;
    Tick at = 0; ///< sc_time, not before now
    Tick waited = 0;
    std::string problem;
};

class AnswerListener
{
public:
    virtual ~AnswerListener() = default;
    virtual void hear(Answer answer) = 0;
};

/// What somebody else's module reported or threw, without the place in its source.
[[nodiscard]] inline std::string text_of(const std::exception& error)
{
    const auto* const report = dynamic_cast<const sc_core::sc_report*>(&error);
    return report == nullptr ? error.what()
                             : std::string(report->get_msg_type()) + ": " + report->get_msg();
}

/// One request on its way, with what belongs to it. Reused: keeps its memory and its extension.
template <class Extension> class Transaction : public tlm::tlm_generic_payload
{
public:
    explicit Transaction(tlm::tlm_mm_interface* manager)
        : tlm_generic_payload(manager), extension_(new Extension)
    {
        set_extension(extension_); // which the payload deletes
    }
    [[nodiscard]] Extension& extension() { return *extension_; }

    std::uint64_t job = 0;
    std::uint32_t tag = 0;
    std::vector<unsigned char> data;

private:
    Extension* extension_;
};

/// The initiator's side of one socket: sends requests in the order given, by nb_transport with the
/// rules of the base protocol, or by b_transport from as many threads as it has requests open.
/// Extension has a member `waited`, and `interval` where Types accepts requests before it ends
/// them.
template <class Extension, class Types, sc_core::sc_port_policy kPolicy>
class Requester final : private tlm::tlm_mm_interface
{
public:
    using Socket = tlm_utils::simple_initiator_socket_b<Requester, 32, Types, kPolicy>;
    using Request = Transaction<Extension>;

    /// `number` orders the answers of several sockets that come at the same time.
    Requester(const std::string& name, unsigned number, bool blocking, AnswerListener& listener)
        : socket(name.c_str()),
          number_(number),
          blocking_(blocking),
          listener_(listener),
          go_((name + "_go").c_str())
    {
        socket.register_nb_transport_bw(this, &Requester::nb_transport_bw);
        sc_core::sc_spawn_options method;
        method.spawn_method();
        method.dont_initialize();
        method.set_sensitivity(&go_);
        sc_core::sc_spawn([this] { pump(); }, (name + "_pump").c_str(), &method);
    }
    Requester(const Requester&) = delete;
    Requester& operator=(const Requester&) = delete;
    ~Requester() override = default;

    Socket socket;

    /// An empty request, to be filled and sent.
    [[nodiscard]] Request& make()
    {
        if (idle_.empty())
        {
            tlm::tlm_mm_interface* const manager = this;
            requests_.push_back(std::make_unique<Request>(manager));
            idle_.push_back(requests_.back().get());
        }
        Request& request = *idle_.back();
        idle_.pop_back();
        request.acquire();
        request.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
        request.set_dmi_allowed(false);
        request.extension().waited = sc_core::SC_ZERO_TIME;
        return request;
    }
    void send(Request& request)
    {
        queue_.push_back(&request);
        if (blocking_)
        {
            wake_worker();
        }
        else
        {
            pump();
        }
    }
    /// Drops what has not been sent. Who has got a request goes on with it.
    void forget()
    {
        for (Request* const request : std::exchange(queue_, {}))
        {
            request->release();
        }
    }

private:
    /// For whom it matters when the target takes the next request: a memory port has no such rule.
    static constexpr bool kAccepts = !std::is_same_v<Types, tlm::tlm_base_protocol_types>;

    void free(tlm::tlm_generic_payload* payload) override
    {
        payload->reset(); // takes away what others have attached, and nothing else
        idle_.push_back(static_cast<Request*>(payload));
    }

    // nb_transport
    /// Calls the target with BEGIN_REQ. Nothing: the target threw, which ends the request.
    std::optional<tlm::tlm_sync_enum> begin(Request& request, tlm::tlm_phase& phase,
                                            sc_core::sc_time& delay)
    {
        try
        {
            return socket->nb_transport_fw(request, phase, delay);
        }
        catch (const std::exception& error)
        {
            if (open_ != &request)
            {
                throw; // it has gone on with the request before, so this is about something else
            }
            close_request(request, sc_core::SC_ZERO_TIME);
            fail(request, std::string("an error in nb_transport_fw of the target of ") +
                              socket.name() + ": " + text_of(error) +
                              "; a target that waits, or knows b_transport alone, needs "
                              "PlatformOptions::blocking");
            return std::nullopt;
        }
    }

    void pump()
    {
        while (open_ == nullptr && !queue_.empty())
        {
            const sc_core::sc_time now = sc_core::sc_time_stamp();
            if (request_end_ > now)
            {
                go_.notify(request_end_ - now);
                return;
            }
            Request& request = *queue_.front();
            queue_.pop_front();
            open_ = &request;
            tlm::tlm_phase phase = tlm::BEGIN_REQ;
            sc_core::sc_time delay;
            const std::optional<tlm::tlm_sync_enum> status = begin(request, phase, delay);
            if (status == tlm::TLM_COMPLETED)
            {
                respond(request, delay);
            }
            else if (status == tlm::TLM_UPDATED)
            {
                if (phase == tlm::END_REQ)
                {
                    accept(request, delay);
                }
                else if (phase == tlm::BEGIN_RESP)
                {
                    request.acquire();
                    respond(request, delay);
                    phase = tlm::END_RESP;
                    socket->nb_transport_fw(request, phase, delay);
                    request.release();
                }
            }
        }
    }

    tlm::tlm_sync_enum nb_transport_bw(tlm::tlm_generic_payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& delay)
    {
        auto& request = static_cast<Request&>(payload);
        if (phase == tlm::END_REQ)
        {
            accept(request, delay);
            return tlm::TLM_ACCEPTED;
        }
        if (phase == tlm::BEGIN_RESP)
        {
            respond(request, delay);
            phase = tlm::END_RESP;
            return tlm::TLM_COMPLETED;
        }
        return tlm::TLM_ACCEPTED; // phases that are not of the base protocol may be ignored
    }

    /// The request phase is over after `delay`.
    void close_request(const Request& request, const sc_core::sc_time& delay)
    {
        if (open_ == &request)
        {
            open_ = nullptr;
            request_end_ = sc_core::sc_time_stamp() + delay;
            if (!queue_.empty())
            {
                go_.notify(delay); // nothing may be sent from within a call that came in
            }
        }
    }

    void accept(Request& request, const sc_core::sc_time& delay)
    {
        if (kAccepts && open_ == &request)
        {
            tell(Answer::Kind::accepted, request, delay);
        }
        close_request(request, delay);
    }

    void respond(Request& request, const sc_core::sc_time& delay)
    {
        close_request(request, delay);
        tell(request.is_response_ok() ? Answer::Kind::done : Answer::Kind::failed, request, delay);
        request.release();
    }

    // b_transport
    struct Worker
    {
        explicit Worker(const std::string& name) : called(name.c_str()) {}
        sc_core::sc_event called;
        bool idle = false;
    };

    /// Calls one worker, who calls the next one before it goes to work itself: so requests are made
    /// in their order, whatever the kernel does first.
    void wake_worker()
    {
        for (const std::unique_ptr<Worker>& worker : workers_)
        {
            if (worker->idle)
            {
                worker->idle = false;
                worker->called.notify(sc_core::SC_ZERO_TIME);
                return;
            }
        }
        const std::string name =
            std::string(socket.basename()) + "_worker" + std::to_string(workers_.size());
        workers_.push_back(std::make_unique<Worker>(name + "_called"));
        Worker& worker = *workers_.back();
        sc_core::sc_spawn([this, &worker] { work(worker); }, name.c_str());
    }

    void work(Worker& worker)
    {
        for (;;)
        {
            while (!queue_.empty())
            {
                Request& request = *queue_.front();
                queue_.pop_front();
                if (!queue_.empty())
                {
                    wake_worker();
                }
                call(request);
            }
            worker.idle = true;
            sc_core::wait(worker.called);
        }
    }

    void call(Request& request)
    {
        const sc_core::sc_time begin = sc_core::sc_time_stamp();
        sc_core::sc_time delay;
        try
        {
            socket->b_transport(request, delay);
        }
        catch (const sc_core::sc_unwind_exception&)
        {
            throw; // of who ends the thread
        }
        catch (const std::exception& error)
        {
            fail(request, std::string("an error in b_transport of the target of ") + socket.name() +
                              ": " + text_of(error));
            return;
        }
        if constexpr (kAccepts)
        {
            const sc_core::sc_time interval = request.extension().interval;
            const sc_core::sc_time now = sc_core::sc_time_stamp();
            if (interval != sc_core::SC_ZERO_TIME)
            {
                tell(Answer::Kind::accepted, request,
                     begin + interval > now ? begin + interval - now : sc_core::SC_ZERO_TIME);
            }
        }
        tell(request.is_response_ok() ? Answer::Kind::done : Answer::Kind::failed, request, delay);
        request.release();
    }

    /// The request ends without a response.
    void fail(Request& request, std::string problem)
    {
        Answer answer = answer_to(Answer::Kind::failed, request, sc_core::SC_ZERO_TIME);
        answer.problem = std::move(problem);
        listener_.hear(std::move(answer));
        request.release();
    }

    void tell(Answer::Kind kind, Request& request, const sc_core::sc_time& delay)
    {
        Answer answer = answer_to(kind, request, delay);
        if (kind == Answer::Kind::failed)
        {
            answer.problem = request.get_response_string() + " from " + socket.name();
        }
        listener_.hear(std::move(answer));
    }

    [[nodiscard]] Answer answer_to(Answer::Kind kind, Request& request,
                                   const sc_core::sc_time& delay) const
    {
        Answer answer;
        answer.kind = kind;
        answer.socket = number_;
        answer.job = request.job;
        answer.tag = request.tag;
        answer.at = tick_of(sc_core::sc_time_stamp() + delay);
        answer.waited = tick_of(request.extension().waited);
        return answer;
    }

    unsigned number_;
    bool blocking_;
    AnswerListener& listener_;
    std::vector<std::unique_ptr<Request>> requests_;
    std::vector<Request*> idle_;
    std::deque<Request*> queue_;   ///< to be sent
    Request* open_ = nullptr;      ///< between BEGIN_REQ and END_REQ
    sc_core::sc_time request_end_; ///< of the last request's phase
    sc_core::sc_event go_;
    std::vector<std::unique_ptr<Worker>> workers_;
};

} // namespace tessera::platform
